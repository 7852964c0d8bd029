#include "generation/media_decoding.h"

#include "support/errors.h"
#include "support/interruption.h"
#include "support/logging.h"

#include "hash/hash.h"
#include "stb/stb_image.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <optional>

namespace xlc {

namespace {

struct Size {
    int64_t width = 0;
    int64_t height = 0;
    int64_t n_pixels() const { return width * height; }
};

[[noreturn]] void refuse(const MediaFile& file, const std::string& reason) {
    throw Error(
        ErrorKind::invalid_request,
        file.place + " (" + file.kind + ", " + std::to_string(file.data().size()) + " bytes) " + reason);
}

const unsigned char* bytes_of(const MediaFile& file) {
    return reinterpret_cast<const unsigned char*>(file.data().data());
}

int n_bytes(const MediaFile& file) {
    return static_cast<int>(file.data().size()); // check_size has looked
}

bool begins_with(const MediaFile& file, const char* magic, size_t offset = 0) {
    return file.data().compare(std::min(offset, file.data().size()), std::strlen(magic), magic) == 0;
}

// The same signs as in mtmd_helper_bitmap_init_from_buf.
bool is_audio(const MediaFile& file) {
    const bool is_wav = begins_with(file, "RIFF") && file.data().size() >= 12 && begins_with(file, "WAVE", 8);
    const bool is_mpeg =
        file.data().size() >= 12 && bytes_of(file)[0] == 0xFF && (bytes_of(file)[1] & 0xE0) == 0xE0;
    return is_wav || is_mpeg || begins_with(file, "ID3") || begins_with(file, "fLaC");
}

bool is_webp(const MediaFile& file) {
    return begins_with(file, "RIFF") && file.data().size() >= 12 && begins_with(file, "WEBP", 8);
}

// Return the little-endian number of some bytes of a file.
uint32_t number_at(const MediaFile& file, size_t at, int n) {
    uint32_t number = 0;
    for (int i = n - 1; i >= 0; i--) {
        number = number << 8 | bytes_of(file)[at + static_cast<size_t>(i)];
    }
    return number;
}

// Return the size in the header of a WebP picture; nullopt if it does not have one. WebP's container format:
// https://developers.google.com/speed/webp/docs/riff_container
std::optional<Size> webp_size(const MediaFile& file) {
    if (file.data().size() < 30) {
        return std::nullopt;
    }
    if (begins_with(file, "VP8X", 12)) {
        return Size{1 + int64_t(number_at(file, 24, 3)), 1 + int64_t(number_at(file, 27, 3))};
    }
    if (begins_with(file, "VP8L", 12) && number_at(file, 20, 1) == 0x2F) {
        const uint32_t bits = number_at(file, 21, 4);
        return Size{1 + int64_t(bits & 0x3FFF), 1 + int64_t(bits >> 14 & 0x3FFF)};
    }
    if (begins_with(file, "VP8 ", 12) && number_at(file, 23, 3) == 0x2A019D) {
        return Size{number_at(file, 26, 2) & 0x3FFF, number_at(file, 28, 2) & 0x3FFF};
    }
    return std::nullopt;
}

std::optional<Size> picture_size(const MediaFile& file) {
    if (is_audio(file)) {
        return std::nullopt;
    }
    if (is_webp(file)) {
        return webp_size(file);
    }
    int width = 0;
    int height = 0;
    int n_channels = 0;
    if (stbi_info_from_memory(bytes_of(file), n_bytes(file), &width, &height, &n_channels) == 0) {
        return std::nullopt;
    }
    return Size{width, height};
}

// Refuse data of another kind than its part says, and pictures that are too large alone or together.
void check_file(const MediaFile& file, int64_t& n_pixels) {
    if (file.data().empty()) {
        refuse(file, "is empty");
    }
    if (file.data().size() > static_cast<size_t>(std::numeric_limits<int>::max())) {
        refuse(file, "is larger than 2 GiB");
    }
    if (file.kind == "audio") {
        if (!is_audio(file)) {
            refuse(file, "is not a sound that can be read; use WAV, MP3 or FLAC");
        }
        return;
    }
    const std::optional<Size> size = picture_size(file);
    if (file.kind == "video") {
        if ((size && !is_webp(file)) || is_audio(file)) {
            refuse(file, "is not a video");
        }
        return;
    }
    if (!size) {
        refuse(file, "is not a picture that can be read; use PNG, JPEG, GIF or BMP");
    }
    if (size->n_pixels() > max_pixels) {
        refuse(
            file, "has " + std::to_string(size->width) + " × " + std::to_string(size->height) +
                      " pixels, more than " + std::to_string(max_pixels / 1'000'000) +
                      " million; scale it down");
    }
    if (is_webp(file) && std::max(size->width, size->height) > max_video_side) {
        refuse(
            file, "is wider or higher than the " + std::to_string(max_video_side) +
                      " pixels that a WebP picture may have; scale it down");
    }
    n_pixels += size->n_pixels();
    if (n_pixels > max_pixels) {
        refuse(
            file, "and the pictures before it have more than " + std::to_string(max_pixels / 1'000'000) +
                      " million pixels together; scale them down");
    }
}

[[noreturn]] void refuse_undecoded(const MediaFile& file, const LogCapture& capture) {
    const std::string said = capture.summary();
    const bool by_ffmpeg = file.kind == "video" || is_webp(file);
    refuse(
        file, "cannot be decoded" + (said.empty() ? "" : ": " + said) +
                  (by_ffmpeg ? "; WebP and video need the programs ffmpeg and ffprobe on the PATH"
                             : "; is the file damaged?"));
}

// Only stb_image may decode a picture, except WebP. llama.cpp's function would pass to ffmpeg what it cannot.
mtmd_bitmap* decode_picture(const MediaFile& file, bool count_only) {
    int width = 0;
    int height = 0;
    int n_channels = 0;
    const std::unique_ptr<stbi_uc, void (*)(void*)> pixels(
        stbi_load_from_memory(bytes_of(file), n_bytes(file), &width, &height, &n_channels, 3),
        stbi_image_free);
    if (!pixels) {
        return nullptr;
    }
    return mtmd_bitmap_init(
        static_cast<uint32_t>(width), static_cast<uint32_t>(height), count_only ? nullptr : pixels.get());
}

// mtmd's callback for the next picture of a video, or the text between two.
int read_video(size_t /* index */, void* data, mtmd_bitmap** bitmap, char** text) {
    VideoReader& reader = *static_cast<VideoReader*>(data);
    constexpr int failed = -2;
    if (stop_requested()) {
        return failed;
    }
    const int result = mtmd_helper_video_read_next(reader.video.get(), bitmap, text);
    if (result != 0 || *bitmap == nullptr) {
        return result;
    }
    if (reader.n_read == reader.n_most) {
        reader.too_long = true;
        mtmd_bitmap_free(*bitmap);
        *bitmap = nullptr;
        return failed;
    }
    if (!reader.id.empty()) { // pictures get different ones, by which the prompt cache knows them
        mtmd_bitmap_set_id(*bitmap, (reader.id + "+" + std::to_string(reader.n_read)).c_str());
    }
    reader.n_read++;
    return result;
}

mtmd_bitmap* open_video(
    DecodedMedia& out,
    const MediaAccess& access,
    const MediaFile& file,
    const MediaLimits& limits,
    int64_t& n_pixels) {
    mtmd_helper::video_ptr video(mtmd_helper_video_init_from_buf(
        access.context, bytes_of(file), file.data().size(), access.options->video_params));
    if (!video) {
        return nullptr;
    }
    const mtmd_helper_video_info info = mtmd_helper_video_get_info(video.get());
    const int64_t frame = std::max<int64_t>(1, int64_t(info.width) * info.height);
    const int64_t n_most = std::min<int64_t>(limits.n_ctx, (max_video_pixels - n_pixels) / frame);
    if (info.n_frames > n_most) {
        refuse(
            file, "has about " + std::to_string(info.n_frames) + " pictures of " +
                      std::to_string(info.width) + " × " + std::to_string(info.height) +
                      " pixels, and at most " + std::to_string(n_most) + " of them can be read; shorten it");
    }
    n_pixels += frame * std::max(0, info.n_frames);
    auto reader = std::make_unique<VideoReader>();
    reader->video = std::move(video);
    reader->id = limits.count_only ? "" : hash_sha256_hex(file.data().data(), file.data().size());
    reader->n_most = n_most;
    out.videos.push_back(std::move(reader));
    return mtmd_bitmap_init_lazy(
        access.context, out.videos.back()->id.empty() ? nullptr : out.videos.back()->id.c_str(),
        out.videos.back().get(), read_video);
}

mtmd_bitmap* decode(
    DecodedMedia& out,
    const MediaAccess& access,
    const MediaFile& file,
    const MediaLimits& limits,
    int64_t& n_video_pixels) {
    if (file.kind == "video") {
        return open_video(out, access, file, limits, n_video_pixels);
    }
    if (file.kind == "audio" || is_webp(file)) { // which have their id from llama.cpp
        return mtmd_helper_bitmap_init_from_buf(
                   access.context, bytes_of(file), file.data().size(), limits.count_only, *access.options)
            .bitmap;
    }
    mtmd_bitmap* picture = decode_picture(file, limits.count_only);
    if (picture != nullptr && !limits.count_only) {
        mtmd_bitmap_set_id(picture, hash_sha256_hex(file.data().data(), file.data().size()).c_str());
    }
    return picture;
}

} // namespace

DecodedMedia
decode_media(const MediaAccess& access, const std::vector<MediaFile>& files, const MediaLimits& limits) {
    int64_t n_pixels = 0;
    for (const MediaFile& file : files) {
        check_file(file, n_pixels);
    }
    allow_sound(max_sound_seconds);
    int64_t n_video_pixels = 0;
    DecodedMedia out;
    for (const MediaFile& file : files) {
        check_stop();
        const LogCapture capture(/* swallow */ true);
        mtmd_bitmap* bitmap = decode(out, access, file, limits, n_video_pixels);
        if (bitmap == nullptr) {
            check_stop();
            refuse_undecoded(file, capture);
        }
        out.bitmaps.emplace_back(bitmap);
    }
    return out;
}

} // namespace xlc
