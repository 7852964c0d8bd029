// llama.cpp's tools/server/server-common.cpp, in which the environment does not choose the marker that stands
// for an image, sound or video in a text: a marker that is known can be written into a message.

#include <cstdlib>

#define getenv(name) getenv("") // no variable has this name
#include "tools/server/server-common.cpp"
