#include "generation/decision.h"

#include "generation/choice_stream.h"
#include "generation/control_names.h"
#include "generation/prompt_reader.h"
#include "overrides/common/jinja/within_budget.h"
#include "support/errors.h"
#include "support/text_mark.h"

#include "mtmd-helper.h"
#include "server-context.h"
#include "server-decision.h"

#include <future>
#include <utility>

namespace xlc {

namespace {

using Scores = std::vector<std::vector<float>>;

std::vector<server_task> tasks_of(
    const server_decision_context& decision,
    const std::vector<server_decision_question>& questions,
    const json& state,
    server_response_reader& reader) {
    const mtmd_helper_init_opt options = mtmd_helper_init_opt_default();
    std::vector<server_task> tasks;
    const auto add = [&](const auto& fill) {
        server_task task(SERVER_TASK_TYPE_DECISION);
        task.id = reader.get_new_id();
        fill(task);
        tasks.push_back(std::move(task));
    };
    if (decision.is_joint()) {
        add([&](server_task& task) {
            decision.fill_task_joint(state, questions, {}, nullptr, options, task);
        });
        return tasks;
    }
    for (const server_decision_question& question : questions) {
        for (size_t variant = 0; variant < decision.n_variants(question); variant++) {
            add([&](server_task& task) {
                decision.fill_task(state, questions, question, variant, {}, nullptr, options, task);
            });
        }
    }
    return tasks;
}

const server_task_result_decision& scored(const server_task_result_ptr& result) {
    return dynamic_cast<const server_task_result_decision&>(*result);
}

// A joint head's one result has the scores of all questions; other models have a result for each variant.
Decision read_answers(
    const server_decision_context& decision,
    const std::vector<server_decision_question>& questions,
    const std::vector<server_task_result_ptr>& results) {
    Decision out;
    for (const server_task_result_ptr& result : results) {
        out.n_tokens += scored(result).n_tokens;
    }
    json answers = json::object();
    size_t i_result = 0;
    std::ptrdiff_t i_score = 0;
    for (const server_decision_question& question : questions) {
        Scores scores;
        if (decision.is_joint()) {
            const std::vector<float>& all = scored(results.at(0)).scores;
            const auto n = static_cast<std::ptrdiff_t>(question.options.size());
            scores.emplace_back(all.begin() + i_score, all.begin() + i_score + n);
            i_score += n;
        } else {
            for (size_t variant = 0; variant < decision.n_variants(question); variant++) {
                scores.push_back(scored(results.at(i_result++)).scores);
            }
        }
        answers[question.id] = decision.format_answer(question, scores);
    }
    out.answers = answers.dump();
    return out;
}

// The reader only looks up when nothing arrives for a second, and an engine that answers other requests
// always has something. So it waits on a thread of its own, and an error in its queue ends that.
server_response_reader::batch_response
wait_for(server_response_reader& reader, std::vector<server_task> tasks, const Poll& poll) {
    const int id = tasks.at(0).id;
    reader.post_tasks(std::move(tasks));
    auto answered =
        std::async(std::launch::async, [&reader] { return reader.wait_for_all([] { return false; }); });
    try {
        wait_polling(answered, poll);
    } catch (...) {
        auto given_up = std::make_unique<server_task_result_error>();
        given_up->id = id;
        reader.queue_results.send(std::move(given_up));
        answered.wait();
        throw;
    }
    return answered.get();
}

} // namespace

std::string decision_kind(const llama_model* model) {
    char text[64] = "";
    if (llama_model_meta_val_str(model, "general.architecture", text, sizeof(text)) < 0) {
        return "";
    }
    const std::string key = std::string(text) + ".decision.type";
    return llama_model_meta_val_str(model, key.c_str(), text, sizeof(text)) < 0 ? "" : text;
}

Decision decide(
    server_context& context,
    const common_params& params,
    const PromptReader& prompts,
    const ControlNames& control_names,
    const std::string& request,
    const Poll& poll) {
    server_decision_context decision;
    server_response_reader reader = context.get_response_reader();
    std::vector<server_decision_question> questions;
    const auto prepare = [&] {
        decision.init(llama_get_model(context.get_llama_context()));
        if (decision.type == COMMON_DECISION_TYPE_NONE) {
            throw Error(ErrorKind::unsupported_feature, "this is not a decision model");
        }
        const json body = json::parse(request);
        const json& state = body.at("state");
        prompts.check_length(state.is_string() ? state.get<std::string>() : state.dump());
        questions = decision.parse_questions(body);
        const MarkedJson marked = control_names.mark_json(state.dump());
        const TextMarkScope mark(marked.mark);
        return tasks_of(decision, questions, marked.mark.empty() ? state : json::parse(marked.text), reader);
    };
    std::vector<server_task> tasks;
    try {
        tasks = within_budget(request.size(), prepare, "the decision model's template", "use another model");
    } catch (const Error&) {
        throw;
    } catch (const std::exception& error) {
        throw Error(ErrorKind::invalid_request, std::string("the model cannot answer this: ") + error.what());
    }
    if (decision.can_share_prompt()) {
        tasks = server_decision_group_tasks(std::move(tasks), static_cast<size_t>(params.n_parallel));
    }
    const server_response_reader::batch_response answered = wait_for(reader, std::move(tasks), poll);
    if (answered.error) {
        throw to_error(dynamic_cast<const server_task_result_error&>(*answered.error));
    }
    return read_answers(decision, questions, answered.results);
}

} // namespace xlc
