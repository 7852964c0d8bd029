// How long threads spin while they wait for each other's work. Also used in C (overrides/ggml/ggml-cpu.c).
#pragma once

// About ten microseconds of spinning: longer than most waits when every thread has a processor. After that a
// thread yields, because the thread that it waits for may need this processor.
enum { XLC_PAUSES_BEFORE_YIELD = 4000 };
