// Conversations as bytes: what the model has computed of one, to be given to an engine of the same model
// later.
#pragma once

#include "generation/generator.h"

#include <map>
#include <optional>

namespace xlc {

struct SlotState;

// What must be the same in the engine that saves a session and the one that loads it, beside the model.
std::map<std::string, std::string> session_settings(const Generator& generator);

// The conversation that begins with the request's prompt, or the one that was answered last. nullptr when no
// idle slot holds it.
std::shared_ptr<const SlotState> save_session(
    const Generator& generator, const std::optional<GenerationRequest>& request, const Generator::Poll& poll);

// Waits for an idle slot.
void load_session(
    const Generator& generator, const std::shared_ptr<const SlotState>& state, const Generator::Poll& poll);

} // namespace xlc
