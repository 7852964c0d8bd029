/* Functions of newer C libraries that GCC's headers and libstdc++.a use, for older ones (cmake/sysroot.py). */
#define _GNU_SOURCE
#include <pthread.h>
#include <time.h>

#define HIDDEN __attribute__((visibility("hidden")))

/* glibc 2.32. As if there were always several threads. */
HIDDEN char __libc_single_threaded = 0;

static struct timespec in_real_time(clockid_t clock, const struct timespec* deadline) {
    enum { second = 1000000000 };
    struct timespec now, real;
    clock_gettime(clock, &now);
    clock_gettime(CLOCK_REALTIME, &real);
    real.tv_sec += deadline->tv_sec - now.tv_sec;
    real.tv_nsec += deadline->tv_nsec - now.tv_nsec;
    if (real.tv_nsec < 0) {
        real.tv_nsec += second;
        --real.tv_sec;
    } else if (real.tv_nsec >= second) {
        real.tv_nsec -= second;
        ++real.tv_sec;
    }
    return real;
}

/* glibc 2.30. Older libraries have only the one that waits for a time of day. */
HIDDEN int pthread_cond_clockwait(
    pthread_cond_t* condition, pthread_mutex_t* mutex, clockid_t clock, const struct timespec* deadline) {
    const struct timespec real = in_real_time(clock, deadline);
    return pthread_cond_timedwait(condition, mutex, &real);
}

HIDDEN int pthread_mutex_clocklock(pthread_mutex_t* mutex, clockid_t clock, const struct timespec* deadline) {
    const struct timespec real = in_real_time(clock, deadline);
    return pthread_mutex_timedlock(mutex, &real);
}
