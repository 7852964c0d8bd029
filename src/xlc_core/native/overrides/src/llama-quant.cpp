// llama.cpp's src/llama-quant.cpp, for Windows: the file that it writes may have any name. The name is UTF-8,
// but std::ofstream takes names in the machine's code page there. Other systems compile the upstream file
// itself.

#include "llama-ext.h"
#include "llama-impl.h"
#include "llama-model-loader.h"
#include "llama-model.h"
#include "llama.h"

#include <algorithm>
#include <cinttypes>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <regex>
#include <string>
#include <thread>
#include <unordered_map>

namespace {

class Utf8File : public std::ofstream {
public:
    Utf8File() = default;
    Utf8File(const std::string& name, std::ios_base::openmode mode)
        : std::ofstream(std::filesystem::u8path(name), mode) {}
};

} // namespace

// All headers are there, so only what follows says std::ofstream and means this.
namespace std {
using Utf8File = ::Utf8File;
}
#define ofstream Utf8File

#include "src/llama-quant.cpp"
