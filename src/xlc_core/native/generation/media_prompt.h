// From a prompt with images, sound and video to what llama.cpp's server reads.
#pragma once

#include "generation/request.h"
#include "overrides/media_access.h"

#include "server-common.h"

namespace xlc {

// What the loaded projector reads.
bool reads_media(const MediaAccess& access, const std::string& kind);

struct MediaLimits {
    int32_t n_ubatch = 0; // tokens that are computed at once
    bool count_only = false;
};

// Decodes the media and splits the prompt. Thread-safe; takes milliseconds for each, the encoding comes
// later. Throws Error(invalid_request) for data that cannot be read, naming its place.
server_tokens media_tokens(
    const MediaAccess& access,
    const std::string& prompt,
    const std::vector<MediaFile>& media,
    const MediaLimits& limits);

} // namespace xlc
