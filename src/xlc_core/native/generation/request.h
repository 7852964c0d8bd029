// A request for text, as plain data: Python fills it, generation/ reads it.
#pragma once

#include "generation/sampling_options.h"

#include <cstdint>
#include <map>
#include <memory>
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
    std::string parameters;        // JSON Schema text, for the template
    std::string simple_parameters; // a schema that says which arguments are text, for llama.cpp's parser
};

// An image, sound or video as the bytes of a file. media_marker() marks its place in the prompt.
struct MediaFile {
    std::string kind;                           // image, audio, video
    std::string place;                          // its place in the chat, for error messages
    std::shared_ptr<const std::string> content; // shared by copies of a request
    const std::string& data() const { return *content; }
};

// Return the text that marks the place of an image, sound or video in a message. It never occurs in a user's
// text by chance.
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
    bool parse_special = false; // names of control tokens in texts become these tokens
    bool is_part = false;       // to be counted or shown; no answer follows
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

struct RenderedChat;

// Complete when it is constructed; nothing changes it afterwards.
struct GenerationRequest {
    SamplingParams sampling;
    std::shared_ptr<const RenderedChat> chat; // else `infill`,
    std::optional<InfillPrompt> infill;       // else `prompt` is completed unchanged
    std::string prompt;
    bool parse_special = true;    // names of control tokens in `prompt` become these tokens
    std::vector<MediaFile> media; // the chat's media, in order
    std::string grammar;          // empty, GBNF, or "%llguidance {}" and Lark
    bool grammar_waits = false;   // the grammar begins at a trigger: the pattern below, or the chat's own
    std::string grammar_trigger;  // regular expression; the grammar begins with its match
    std::vector<std::string> text_ends;     // texts that end a plain text in the grammar
    std::vector<std::string> call_openings; // texts that end the model's thinking, because a call begins
    std::vector<float> lora_scales;         // scales of the engine's LoRA files, in their order
    bool speculative = true;                // draft tokens
    bool close_grammar = true; // complete the answer within its grammar before the tokens run out
    bool embed = false;        // return the vector of the prompt's last token instead of an answer
    bool stream = false;
    bool prompt_progress = false;
};

} // namespace xlc
