// Converts a prompt with images, sound and video to the input of llama.cpp's server.
#pragma once

#include "generation/media_decoding.h"

#include "server-common.h"

namespace xlc {

// Whether the loaded projector can read this kind of media.
bool reads_media(const MediaAccess& access, const std::string& kind);

// Decode the media and split the prompt. Thread-safe. Takes milliseconds for each medium; the encoding comes
// later. Throws Error(invalid_request) for data that cannot be read, and names its place.
server_tokens media_tokens(
    const MediaAccess& access,
    const std::string& prompt,
    const std::vector<MediaFile>& media,
    const MediaLimits& limits);

} // namespace xlc
