#include "generation/media_prompt.h"

#include "support/errors.h"
#include "support/logging.h"

#include "mtmd-helper.h"
#include "mtmd.h"
#include "stb/stb_image.h"

#include <cstring>
#include <limits>

namespace xlc {

namespace {

// A picture of this size needs 300 MB when it is decoded. Larger ones are attempts to exhaust memory.
constexpr int64_t max_pixels = 100'000'000;

[[noreturn]] void refuse(const MediaFile& file, const std::string& reason) {
    throw Error(
        ErrorKind::invalid_request,
        file.place + " (" + file.kind + ", " + std::to_string(file.data.size()) + " bytes) " + reason);
}

const unsigned char* bytes_of(const MediaFile& file) {
    return reinterpret_cast<const unsigned char*>(file.data.data());
}

bool begins_with(const MediaFile& file, const char* magic, size_t offset = 0) {
    return file.data.compare(offset, std::strlen(magic), magic) == 0;
}

// The same signs as in mtmd_helper_bitmap_init_from_buf.
bool is_audio(const MediaFile& file) {
    const bool is_wav = begins_with(file, "RIFF") && file.data.size() >= 12 && begins_with(file, "WAVE", 8);
    const bool is_mpeg =
        file.data.size() >= 12 && bytes_of(file)[0] == 0xFF && (bytes_of(file)[1] & 0xE0) == 0xE0;
    return is_wav || is_mpeg || begins_with(file, "ID3") || begins_with(file, "fLaC");
}

bool is_webp(const MediaFile& file) {
    return begins_with(file, "RIFF") && file.data.size() >= 12 && begins_with(file, "WEBP", 8);
}

// Refuse data that llama.cpp would mistake for another kind, or try to open as a video with ffmpeg.
void check_kind(const MediaFile& file) {
    if (file.data.empty()) {
        refuse(file, "is empty");
    }
    if (file.data.size() > static_cast<size_t>(std::numeric_limits<int>::max())) {
        refuse(file, "is larger than 2 GiB");
    }
    int width = 0;
    int height = 0;
    int n_channels = 0;
    const bool is_picture = !is_audio(file) && stbi_info_from_memory(
                                                   bytes_of(file), static_cast<int>(file.data.size()), &width,
                                                   &height, &n_channels) != 0;
    if (is_picture && static_cast<int64_t>(width) * height > max_pixels) {
        refuse(
            file, "has " + std::to_string(width) + " × " + std::to_string(height) + " pixels, more than " +
                      std::to_string(max_pixels / 1'000'000) + " million; scale it down");
    }
    if (file.kind == "audio" && !is_audio(file)) {
        refuse(file, "is not a sound that can be read; use WAV, MP3 or FLAC");
    }
    if (file.kind == "image" && !is_picture && !is_webp(file)) {
        refuse(file, "is not a picture that can be read; use PNG, JPEG, GIF or BMP");
    }
    if (file.kind == "video" && (is_picture || is_audio(file))) {
        refuse(file, "is not a video");
    }
}

struct Bitmaps {
    mtmd::bitmaps bitmaps;
    std::vector<mtmd_helper::video_ptr> videos;
};

void decode(Bitmaps& out, const MediaAccess& access, const MediaFile& file, bool count_only) {
    LogCapture capture(/* swallow */ true);
    check_kind(file);
    const mtmd_helper_bitmap_wrapper read = mtmd_helper_bitmap_init_from_buf(
        access.context, bytes_of(file), file.data.size(), count_only, *access.options);
    if (!read.bitmap) {
        const std::string said = capture.summary();
        const bool by_ffmpeg = file.kind == "video" || is_webp(file);
        refuse(
            file, "cannot be decoded" + (said.empty() ? "" : ": " + said) +
                      (by_ffmpeg ? "; WebP and video need the programs ffmpeg and ffprobe on the PATH"
                                 : "; is the file damaged?"));
    }
    out.bitmaps.entries.emplace_back(read.bitmap);
    if (read.video_ctx) {
        out.videos.emplace_back(read.video_ctx);
    }
}

size_t count(const std::string& text, const std::string& part) {
    size_t n = 0;
    for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) {
        n++;
    }
    return n;
}

// Reject input that would fail llama.cpp's asserts while it decodes.
void check_chunks(const MediaAccess& access, const mtmd::input_chunks& chunks, const MediaLimits& limits) {
    for (size_t i = 0; i < chunks.size(); i++) {
        const mtmd_input_chunk* chunk = chunks[i];
        if (mtmd_input_chunk_get_type(chunk) == MTMD_INPUT_CHUNK_TYPE_TEXT) {
            continue;
        }
        const auto n_tokens = static_cast<int32_t>(mtmd_input_chunk_get_n_tokens(chunk));
        if (mtmd_decode_use_non_causal(access.context, chunk) && n_tokens > limits.n_ubatch) {
            throw Error(
                ErrorKind::invalid_request, "an image takes " + std::to_string(n_tokens) +
                                                " tokens, which this model reads at once; open "
                                                "the engine with n_batch and n_ubatch of at least " +
                                                std::to_string(n_tokens));
        }
        if (i + 1 == chunks.size()) {
            throw Error(
                ErrorKind::invalid_request, "the prompt ends with an image, sound or video; some text must "
                                            "follow it, which chat templates add");
        }
    }
}

} // namespace

const std::string& media_marker() {
    static const std::string marker = get_media_marker();
    return marker;
}

bool reads_media(const MediaAccess& access, const std::string& kind) {
    if (access.context == nullptr) {
        return false;
    }
    return kind == "image"   ? mtmd_support_vision(access.context)
           : kind == "audio" ? mtmd_support_audio(access.context)
                             : mtmd_helper_support_video(access.context);
}

server_tokens media_tokens(
    const MediaAccess& access,
    const std::string& prompt,
    const std::vector<MediaFile>& media,
    const MediaLimits& limits) {
    const size_t n_markers = count(prompt, media_marker());
    if (n_markers != media.size()) {
        throw Error(
            ErrorKind::invalid_request, "the messages hold " + std::to_string(media.size()) +
                                            " images, sounds and videos, but the chat "
                                            "template made a prompt with " +
                                            std::to_string(n_markers) +
                                            "; it leaves some messages out or repeats them");
    }
    Bitmaps decoded;
    for (const MediaFile& file : media) {
        decode(decoded, access, file, limits.count_only);
    }
    const mtmd_input_text text = {
        prompt.data(), prompt.size(), /* add_special */ true, /* parse_special */ true};
    mtmd::input_chunks chunks(mtmd_input_chunks_init());
    LogCapture capture(/* swallow */ true);
    std::vector<const mtmd_bitmap*> bitmaps = decoded.bitmaps.c_ptr();
    if (mtmd_tokenize(access.context, chunks.ptr.get(), &text, bitmaps.data(), bitmaps.size()) != 0) {
        throw Error(
            ErrorKind::invalid_request, "the images, sounds and videos cannot be read: " + capture.summary());
    }
    check_chunks(access, chunks, limits);
    return server_tokens(chunks, true);
}

} // namespace xlc
