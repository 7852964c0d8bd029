// Decodes images, sound and video within limits that are decided before memory is allocated.
#pragma once

#include "generation/request.h"
#include "overrides/access/media_access.h"

#include "mtmd-helper.h"
#include "mtmd.h"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace xlc {

struct MediaLimits {
    int32_t n_ubatch = 0; // tokens that are computed at once
    int32_t n_ctx = 0;    // tokens that a request may hold; a picture of a video takes one at least
    bool count_only = false;
};

// A video whose pictures are read when the prompt is split.
struct VideoReader {
    mtmd_helper::video_ptr video;
    std::string id;
    int64_t n_read = 0;
    int64_t n_most = 0; // pictures that it may have
    bool too_long = false;
};

struct DecodedMedia {
    std::vector<mtmd::bitmap> bitmaps;
    std::vector<std::unique_ptr<VideoReader>> videos;
};

// Throws Error(invalid_request) for data that cannot be read or is too large, and names its place.
DecodedMedia
decode_media(const MediaAccess& access, const std::vector<MediaFile>& files, const MediaLimits& limits);

} // namespace xlc
