// llama.cpp's tools/mtmd/mtmd-helper.cpp, which does not trust the sizes that a media file claims.
//
// It allocated as much memory for a sound as the file's header says, before it read a sample, and for a
// video's picture whatever size ffprobe reports. Here sounds are decoded piece by piece, up to a limit, and
// pictures of a video are limited.

#include "overrides/access/media_access.h"
#include "support/interruption.h"

#include "tools/mtmd/mtmd-helper.h"

#include "tools/mtmd/mtmd-helper-common.h"

// The same part of miniaudio as upstream includes.
#define MINIAUDIO_IMPLEMENTATION
#define MA_NO_ENCODING
#define MA_NO_DEVICE_IO
#define MA_NO_RESOURCE_MANAGER
#define MA_NO_NODE_GRAPH
#define MA_NO_ENGINE
#define MA_NO_GENERATION
#define MA_API static
#include "miniaudio/miniaudio.h"

#include <cstdlib>
#include <vector>

namespace xlc {

namespace {

thread_local double sound_seconds = max_sound_seconds;

ma_result refuse_sound() {
    LOG_ERR("the sounds of a request may last %d minutes together\n", max_sound_seconds / 60);
    return MA_TOO_BIG;
}

// A header may refuse a sound that is too long. Otherwise the length is not believed: samples are appended as
// long as there are some.
ma_result unknown_length(ma_decoder* decoder, ma_uint64* n_samples) {
    const ma_result result = ma_decoder_get_length_in_pcm_frames(decoder, n_samples);
    const double rate = decoder->outputSampleRate;
    const bool is_long = result == MA_SUCCESS && static_cast<double>(*n_samples) / rate > sound_seconds;
    *n_samples = 0;
    return is_long ? refuse_sound() : MA_SUCCESS;
}

ma_result read_sound(std::vector<float>& out, ma_decoder* decoder, ma_uint64* n_read) {
    const size_t piece = decoder->outputSampleRate; // a second
    while (!stop_requested()) {
        if (sound_seconds < 0) {
            return refuse_sound();
        }
        const size_t n_before = out.size();
        out.resize(n_before + piece);
        ma_uint64 n = 0;
        ma_decoder_read_pcm_frames(decoder, out.data() + n_before, piece, &n);
        out.resize(n_before + static_cast<size_t>(n));
        sound_seconds -= static_cast<double>(n) / static_cast<double>(piece);
        if (n < piece) {
            *n_read = out.size();
            return out.empty() ? MA_INVALID_FILE : MA_SUCCESS;
        }
    }
    return MA_CANCELLED;
}

// A number that ffprobe reports: of a picture's sides, and of pictures, which is only a help where the length
// of a video is unknown. 0 makes llama.cpp refuse the video.
int limited_number(const char* text) {
    const long number = std::strtol(text, nullptr, 10);
    return number < 0 || number > max_video_side ? 0 : static_cast<int>(number);
}

} // namespace

void allow_sound(double seconds) {
    sound_seconds = seconds;
}

} // namespace xlc

#define ma_decoder_get_length_in_pcm_frames xlc::unknown_length
#define ma_decoder_read_pcm_frames(decoder, data, n_samples, n_read)                                         \
    xlc::read_sound(pcmf32_mono, decoder, n_read)
#define atoi xlc::limited_number
#include "tools/mtmd/mtmd-helper.cpp"
