// Access to the reader of images and sound in llama.cpp's server_context.
#pragma once

struct mtmd_context;
struct mtmd_helper_init_opt;
struct server_context;

namespace xlc {

struct MediaAccess {
    mtmd_context* context = nullptr; // nullptr without a projector
    const mtmd_helper_init_opt* options = nullptr;
};

// Valid while the server_context exists and does not sleep.
MediaAccess media_access(const server_context& context);

// Limits of the media of one request, whose decoded forms are in memory together.
constexpr int max_sound_seconds = 3600;             // 230 MB
constexpr long long max_pixels = 100'000'000;       // 300 MB
constexpr long long max_video_pixels = 500'000'000; // 1.5 GB
constexpr int max_video_side = 8192;

// How many seconds of sound this thread may still decode (overrides/mtmd/mtmd-helper.cpp).
void allow_sound(double seconds);

} // namespace xlc
