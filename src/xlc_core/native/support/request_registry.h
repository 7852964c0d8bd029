// Objects that a request shares with its sampler. llama.cpp creates the sampler from the request's parameters
// only. So one of the texts in these parameters carries a number, and the sampler finds the object by it.
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

    // Return the object's number. It is valid as long as somebody holds the object.
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
