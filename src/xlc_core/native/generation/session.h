// Conversations as bytes: the model's computed state of a conversation, which an engine with the same model
// can load later.
#pragma once

#include "generation/generator.h"

#include <map>
#include <optional>

namespace xlc {

struct SlotState;

// Return the settings that must be equal in the engine that saves a session and the one that loads it, beside
// the model.
std::map<std::string, std::string> session_settings(const Generator& generator);

// Return the conversation that begins with the request's prompt, or the one that was answered last. nullptr
// when no idle slot holds it.
std::shared_ptr<const SlotState>
save_session(const Generator& generator, const std::optional<GenerationRequest>& request, const Poll& poll);

// Waits for an idle slot.
void load_session(
    const Generator& generator, const std::shared_ptr<const SlotState>& state, const Poll& poll);

} // namespace xlc
