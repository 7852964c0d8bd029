// How threads wait for each other's work, in C too (overrides/ggml_cpu.c).
#pragma once

// Some ten microseconds of spinning: longer than most waits are when every thread has a processor. Then a
// thread gives way, as another program may hold the processor that it waits for.
enum { XLC_PAUSES_BEFORE_YIELD = 4000 };
