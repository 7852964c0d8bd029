#include "generation/media_prompt.h"

#include "support/errors.h"
#include "support/interruption.h"
#include "support/logging.h"

#include "mtmd-helper.h"
#include "mtmd.h"

namespace xlc {

namespace {

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
    const DecodedMedia decoded = decode_media(access, media, limits);
    const mtmd_input_text text = {
        prompt.data(), prompt.size(), /* add_special */ true, /* parse_special */ true};
    mtmd::input_chunks chunks(mtmd_input_chunks_init());
    LogCapture capture(/* swallow */ true);
    std::vector<const mtmd_bitmap*> bitmaps;
    bitmaps.reserve(decoded.bitmaps.size());
    for (const mtmd::bitmap& bitmap : decoded.bitmaps) {
        bitmaps.push_back(bitmap.ptr.get());
    }
    if (mtmd_tokenize(access.context, chunks.ptr.get(), &text, bitmaps.data(), bitmaps.size()) != 0) {
        check_stop();
        for (const std::unique_ptr<VideoReader>& reader : decoded.videos) {
            if (reader->too_long) {
                throw Error(
                    ErrorKind::invalid_request, "a video has more pictures than can be read, although its "
                                                "header names fewer; shorten it");
            }
        }
        throw Error(
            ErrorKind::invalid_request, "the images, sounds and videos cannot be read: " + capture.summary());
    }
    check_chunks(access, chunks, limits);
    return server_tokens(chunks, true);
}

} // namespace xlc
