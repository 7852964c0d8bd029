// ggml's ggml-cpu.c, whose threads yield when they wait for each other for long.
//
// After every operation all threads wait at a barrier, where ggml lets them spin until the last one arrives.
// When another program uses the last one's processor, the others spin for milliseconds, after every
// operation. Small models were up to eighty times as slow beside busy programs (docs/building.md).

// Macros that the file defines before its includes.
#define _CRT_SECURE_NO_DEPRECATE
#define _USE_MATH_DEFINES

#include "support/spinning.h"

#if defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#else
#include <sched.h>
#endif

#if defined(_MSC_VER)
#define XLC_THREAD_LOCAL __declspec(thread)
#else
#define XLC_THREAD_LOCAL _Thread_local
#pragma GCC diagnostic ignored "-Wshadow"
#endif

// Two loops spin. The loop of a barrier has a local n_passed, which numbers the barriers. The other loop, in
// which idle threads poll for work until they sleep, sees this constant instead.
enum { n_passed = -1 };

static void xlc_wait(int barrier);

// The file's definition, (void), becomes the definition of xlc_pause. Its calls, (), become calls of
// xlc_wait.
#define ggml_thread_cpu_relax(parameters) XLC_RELAX_##parameters
#define XLC_RELAX_void xlc_pause(void)
#define XLC_RELAX_ xlc_wait(n_passed)

#include "ggml/src/ggml-cpu/ggml-cpu.c"

static void xlc_wait(int barrier) {
    static XLC_THREAD_LOCAL int last = n_passed;
    static XLC_THREAD_LOCAL int n_pauses;

    if (barrier == n_passed) {
        xlc_pause();
        return;
    }
    if (barrier != last) {
        last = barrier;
        n_pauses = 0;
    }
    if (n_pauses < XLC_PAUSES_BEFORE_YIELD) {
        ++n_pauses;
        xlc_pause();
        return;
    }
#if defined(_WIN32)
    SwitchToThread();
#else
    sched_yield();
#endif
}
