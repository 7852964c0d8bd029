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

} // namespace xlc
