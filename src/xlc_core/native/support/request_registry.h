// What a request and its sampler share. llama.cpp makes the sampler from the request's parameters and nothing
// else, so a text among these carries a number, by which the sampler finds the object here.
#pragma once

#include "support/process.h"

#include <cstdint>
#include <iterator>
#include <map>
#include <memory>
#include <mutex>

namespace xlc {

template<typename Shared> class RequestRegistry {
public:
    static RequestRegistry& instance() { return one_per_process<RequestRegistry>(); }

    // The number stands for the object for as long as somebody holds that.
    int32_t add(const std::shared_ptr<Shared>& shared) {
        std::lock_guard<std::mutex> lock(mutex_);
        for (auto entry = entries_.begin(); entry != entries_.end();) {
            entry = entry->second.expired() ? entries_.erase(entry) : std::next(entry);
        }
        entries_[++last_] = shared;
        return last_;
    }

    std::shared_ptr<Shared> find(int32_t number) {
        std::lock_guard<std::mutex> lock(mutex_);
        const auto found = entries_.find(number);
        return found == entries_.end() ? nullptr : found->second.lock();
    }

private:
    std::mutex mutex_;
    int32_t last_ = 0;
    std::map<int32_t, std::weak_ptr<Shared>> entries_;
};

} // namespace xlc
