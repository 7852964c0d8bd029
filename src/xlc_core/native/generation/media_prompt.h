// Converts a prompt with images, sound and video to the input of llama.cpp's server.
#pragma once

#include "generation/request.h"
#include "overrides/access/media_access.h"

#include "server-common.h"

namespace xlc {

// Whether the loaded projector can read this kind of media.
bool reads_media(const MediaAccess& access, const std::string& kind);

struct MediaLimits {
    int32_t n_ubatch = 0; // tokens that are computed at once
    bool count_only = false;
};

// Decode the media and split the prompt. Thread-safe. Takes milliseconds for each medium; the encoding comes
// later. Throws Error(invalid_request) for data that cannot be read, and names its place.
server_tokens media_tokens(
    const MediaAccess& access,
    const std::string& prompt,
    const std::vector<MediaFile>& media,
    const MediaLimits& limits);

} // namespace xlc
