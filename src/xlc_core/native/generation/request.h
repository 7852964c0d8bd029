// A request for text. Plain data: Python fills it, generation/ reads it.
#pragma once

#include "generation/sampling_options.h"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace xlc {

struct ChatToolCall {
    std::string id;
    std::string name;
    std::string arguments;
};

struct ChatMessage {
    std::string role;
    std::string content;
    std::string reasoning;
    std::string tool_call_id;
    std::string name;
    std::vector<ChatToolCall> tool_calls;
};

struct ChatTool {
    std::string name;
    std::string description;
    std::string parameters; // JSON Schema text
};

// Images, sound or video, encoded as a file would be. Its place in the prompt is marked with media_marker().
struct MediaFile {
    std::string kind;  // image, audio, video
    std::string place; // where the user put it, for messages
    std::string data;
};

// Marks the place of an image, sound or video in a message's text. No text of a user's happens to hold it.
const std::string& media_marker();

// A chat to be rendered by the model's template.
struct ChatRequest {
    std::vector<ChatMessage> messages;
    std::vector<ChatTool> tools;
    std::string tool_choice = "auto"; // auto, none, required
    std::optional<bool> parallel_tool_calls;
    std::optional<bool> thinking;
    std::optional<int32_t> thinking_budget; // tokens
    std::optional<std::string> thinking_budget_message;
    std::optional<std::string> reasoning_format;        // llama.cpp's name
    std::map<std::string, std::string> template_kwargs; // name → JSON text
};

// A gap to fill, and the code around it.
struct InfillFile {
    std::string name;
    std::string text;
};
struct InfillPrompt {
    std::string prefix;
    std::string suffix;
    std::vector<InfillFile> extra; // other files, the most important one last
};

struct GenerationRequest {
    SamplingParams sampling;
    std::optional<ChatRequest> chat;    // else `infill`,
    std::optional<InfillPrompt> infill; // else `prompt` is completed as it stands
    std::string prompt;
    std::vector<MediaFile> media;   // of the chat, in order
    std::string grammar;            // empty, GBNF, or "%llguidance {}" and Lark
    std::vector<float> lora_scales; // of the engine's LoRA files, in their order
    bool speculative = true;        // draft tokens
    bool close_grammar = true;      // as the tokens run out, end the answer as the grammar allows
    bool embed = false;             // the vector of the prompt's last token is wanted instead of an answer
    bool stream = false;
    bool prompt_progress = false;
};

} // namespace xlc
