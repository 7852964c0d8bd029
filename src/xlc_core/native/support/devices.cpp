#include "support/devices.h"

#include "support/errors.h"

#include "common.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <set>

namespace xlc {

namespace {

// The backends that are preferred to others, the best one first.
constexpr std::array<const char*, 5> preferred = {"cuda", "rocm", "metal", "sycl", "vulkan"};

bool is_gpu(ggml_backend_dev_t device) {
    const enum ggml_backend_dev_type type = ggml_backend_dev_type(device);
    return type == GGML_BACKEND_DEVICE_TYPE_GPU || type == GGML_BACKEND_DEVICE_TYPE_IGPU;
}

std::string lower(std::string text) {
    std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
    return text;
}

// The name of a device's backend, as users write it.
std::string backend_of(ggml_backend_dev_t device) {
    const std::string name = lower(ggml_backend_reg_name(ggml_backend_dev_backend_reg(device)));
    return name == "mtl" ? "metal" : name;
}

std::vector<ggml_backend_dev_t> find_gpus(const std::string& backend) {
    std::vector<ggml_backend_dev_t> gpus;
    for (size_t i = 0; i < ggml_backend_dev_count(); ++i) {
        ggml_backend_dev_t device = ggml_backend_dev_get(i);
        if (is_gpu(device) && backend_of(device) == backend) {
            gpus.push_back(device);
        }
    }
    return gpus;
}

// Without integrated GPUs beside others, as llama.cpp chooses.
std::vector<ggml_backend_dev_t> without_integrated(std::vector<ggml_backend_dev_t> gpus) {
    const auto integrated = std::stable_partition(gpus.begin(), gpus.end(), [](ggml_backend_dev_t device) {
        return ggml_backend_dev_type(device) == GGML_BACKEND_DEVICE_TYPE_GPU;
    });
    if (integrated != gpus.begin()) {
        gpus.erase(integrated, gpus.end());
    }
    return gpus;
}

std::set<std::string> gpu_backends() {
    std::set<std::string> names;
    for (size_t i = 0; i < ggml_backend_dev_count(); ++i) {
        ggml_backend_dev_t device = ggml_backend_dev_get(i);
        if (is_gpu(device)) {
            names.insert(backend_of(device));
        }
    }
    return names;
}

std::string option_of(ggml_backend_dev_t device) {
    if (!is_gpu(device)) {
        return "cpu";
    }
    const std::vector<ggml_backend_dev_t> same = find_gpus(backend_of(device));
    const auto at = std::find(same.begin(), same.end(), device);
    return backend_of(device) + ":" + std::to_string(at - same.begin());
}

[[noreturn]] void refuse(const std::string& wanted) {
    std::string known = "'auto', 'cpu'";
    for (const std::string& backend : gpu_backends()) {
        known += ", '" + backend + "'";
        for (ggml_backend_dev_t device : find_gpus(backend)) {
            known += ", '" + option_of(device) + "' (" + ggml_backend_dev_description(device) + ")";
        }
    }
    throw Error(
        ErrorKind::invalid_request, "device='" + wanted + "' does not exist here; there is " + known +
                                        "; `xllama doctor` says what is missing for others");
}

std::vector<ggml_backend_dev_t> best_gpus() {
    const std::set<std::string> backends = gpu_backends();
    if (backends.empty()) {
        return {};
    }
    for (const char* backend : preferred) {
        if (backends.count(backend)) {
            return without_integrated(find_gpus(backend));
        }
    }
    return without_integrated(find_gpus(*backends.begin()));
}

} // namespace

std::vector<Device> find_devices() {
    std::vector<Device> found;
    for (size_t i = 0; i < ggml_backend_dev_count(); ++i) {
        ggml_backend_dev_t device = ggml_backend_dev_get(i);
        size_t n_free = 0;
        size_t n_total = 0;
        ggml_backend_dev_memory(device, &n_free, &n_total);
        found.push_back(
            {ggml_backend_dev_name(device), option_of(device), ggml_backend_dev_description(device),
             ggml_backend_reg_name(ggml_backend_dev_backend_reg(device)), is_gpu(device), n_free, n_total});
    }
    return found;
}

std::vector<ggml_backend_dev_t> choose_devices(const std::string& wanted) {
    if (wanted == "cpu") {
        return {};
    }
    if (wanted == "auto") {
        return best_gpus();
    }
    const std::string name = lower(wanted);
    for (const std::string& backend : gpu_backends()) {
        const std::vector<ggml_backend_dev_t> gpus = find_gpus(backend);
        if (name == backend) {
            return without_integrated(gpus);
        }
        for (ggml_backend_dev_t device : gpus) {
            if (name == option_of(device)) {
                return {device};
            }
        }
    }
    refuse(wanted);
}

int physical_cores() {
    return common_cpu_get_num_physical_cores();
}

size_t free_system_memory() {
    size_t n_free = 0;
    size_t n_total = 0;
    ggml_backend_dev_memory(ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU), &n_free, &n_total);
    return n_free;
}

bool has_several_gpu_backends() {
    return gpu_backends().size() > 1;
}

} // namespace xlc
