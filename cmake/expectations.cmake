# Every place where xllama relies on the insides of llama.cpp. overrides/README.md says for each override what it
# changes, why, and when it can be deleted; cmake/overrides.cmake has the functions.

# ggml: how threads wait and fail, the tiles' configuration, and products of weights -----------------------------------

xlc_override(ggml-cpu ggml/src/ggml-cpu/ggml-cpu.c ggml/ggml-cpu.c WITH ggml/flash_attention.cpp ggml/experts.cpp EXPECT
  "int n_passed = " 1 # a barrier is recognised by its local of this name
  "ggml_thread_cpu_relax\\(\\)" 2 # the loop of a barrier, and the one that polls for work
  "static inline void ggml_thread_cpu_relax\\(void\\)" 4
  "ggml_graph_compute_secondary_thread\\(void\\* data\\)" 2 # as a call it is renamed, as a value it is ours
  "NULL, ggml_graph_compute_secondary_thread, &workers" 1
  "ggml_graph_compute_secondary_thread" 3
  "\nenum ggml_status ggml_graph_compute\\(struct ggml_cgraph \\* cgraph, struct ggml_cplan \\* cplan\\)" 1
  "atomic_int GGML_CACHE_ALIGN n_barrier.\n" 1
  "n_barrier, " 2 # only the barrier changes it: after a failure it is 0 again
  "\n    if \\(ggml_cpu_extra_compute_forward\\(params, tensor\\)\\) {\n        return.\n" 1
  "ggml_cpu_extra_compute_forward" 1
  "\n                ggml_compute_forward_flash_attn_ext\\(params, tensor\\).\n" 1
  "size_t prefill  = sizeof\\(float\\)\\*\\(GGML_FA_TILE_Q\\*DK \\+ 2\\*GGML_FA_TILE_Q\\*GGML_FA_TILE_KV \\+" 1) # our workspace
xlc_expect(ggml/src/ggml-cpu/common.h
  "#define GGML_FA_TILE_(Q|KV) +64\n" 2)
xlc_override(ggml-cpu ggml/src/ggml-cpu/ggml-cpu.cpp ggml/ggml-cpu.cpp EXPECT
  "\nstatic void \\* ggml_backend_cpu_get_proc_address\\(ggml_backend_reg_t reg, const char \\* name\\) {" 1
  "ggml_backend_cpu_get_proc_address,\n" 1
  "ggml_backend_cpu_get_proc_address" 2)
# compute_guard.cpp is for ggml-cpu, but its state is the process's: a portable build has more than one ggml-cpu.
xlc_override(ggml-base ggml/src/gguf.cpp ggml/gguf.cpp WITH ggml/compute_guard.cpp EXPECT
  "\nstruct gguf_context \\* gguf_init_from_file\\(const char \\* fname, struct gguf_init_params params\\)" 1
  "\nstruct gguf_context \\* gguf_init_from_file_ptr\\(FILE \\* file, struct gguf_init_params params\\)" 1)
xlc_override(ggml-cpu ggml/src/ggml-cpu/amx/mmq.cpp ggml/amx-mmq.cpp EXPECT
  "_tile_loadconfig\\(&tc\\)" 1
  "_tile_loadconfig" 1)

xlc_override(ggml-cpu ggml/src/ggml-cpu/tiled/tiled.cpp ggml/tiled.cpp WITH ggml/few_rows.cpp EXPECT
  "\nsize_t ggml_tiled_wdata_size\\(int n_tasks, struct ggml_tensor \\* dst\\) {" 1
  "\nbool ggml_compute_forward_mul_mat_tiled\\(\n" 1)
xlc_expect(ggml/src/ggml-cpu/ggml-cpu.c
  "cur \\+= ggml_tiled_wdata_size\\(n_tasks, node\\)" 2 # for all types of weights
  "\n    if \\(ggml_compute_forward_mul_mat_tiled\\(params, dst\\)\\) {\n        return.\n" 1)

# llama: graphs without logits, accents and long words in tokenizers, the pooler of Jina's rerankers --------------

xlc_override(llama src/llama-model.cpp src/llama-model.cpp EXPECT
  # The last step of a graph is a statement of its own.
  "\n    llm->build_dense_out\\([a-z0-9_, ]+\\).\n\n    llm->res->set_outputs\\(params\\).\n" 1
  "build_dense_out" 1)
xlc_override(llama src/llama-vocab.cpp src/llama-vocab.cpp WITH src/regex_split.cpp src/marked_text.cpp EXPECT
  "= unicode_regex_split\\(text, tokenizer.regex_exprs, tokenizer.byte_encode\\)" 1
  "unicode_regex_split" 1
  "cpts = unicode_cpts_normalize_nfd\\(cpts\\)" 1
  "unicode_cpts_normalize_nfd" 1
  "unicode_len_utf8\\(" 3 # once for each character, where the work is done
  "if \\(data.attr & LLAMA_TOKEN_ATTR_[LR]STRIP\\) {" 2 # once for each control token in a text
  "const auto flags = unicode_cpt_flags_from_cpt\\(cpt\\)" 1
  "flags.is_accent_mark" 1
  "llama_tokenize\\(" 1 # overrides/src/marked_text.cpp finds control tokens as the function below it does
  "void llama_vocab::impl::tokenizer_st_partition\\(" 1
  "// Ignore control and unknown tokens when parse_special == false" 1)
xlc_expect(src/unicode.h
  "unicode_regex_split\\(const std::string & text, const std::vector<std::string> & regex_exprs, bool byte_encode" 1
  "is_accent_mark" 3)
xlc_override(llama src/models/jina-bert-v2.cpp src/models/jina-bert-v2.cpp EXPECT
  "cls   = create_tensor\\(tn\\(LLM_TENSOR_CLS, \"weight\"\\), {n_embd, 1}, TENSOR_NOT_REQUIRED\\)" 1
  "cls_b = create_tensor\\(tn\\(LLM_TENSOR_CLS, \"bias\"\\),   {1},         TENSOR_NOT_REQUIRED\\)" 1
  "LLM_TENSOR_CLS" 2)

if(WIN32) # elsewhere names of files are bytes
  xlc_override(llama src/llama-quant.cpp src/llama-quant.cpp)
endif()
xlc_expect(src/llama-quant.cpp
  "fout = std::ofstream\\(fname, std::ios::binary\\)" 1
  "std::ofstream\\(" 1)

# llama-common: logging, samplers, drafts -----------------------------------------------------------------------

xlc_override(llama-common common/log.cpp common/log.cpp)
xlc_expect(common/log.h
  "common_log_[a-z_]+ *\\((void|int |bool |enum |struct )" 17 # the functions that ours define
  "#define LOG_LEVEL_[A-Z]+ " 6)
xlc_override(llama-common common/common.cpp common/common.cpp WITH common/draft_checks.cpp common/fitting.cpp EXPECT
  "\n    cparams.n_rs_seq          = params.speculative.need_n_rs_seq\\(\\).\n" 1 # a factor may follow the call
  "need_n_rs_seq" 1
  "\n        common_fit_params\\(params.model.path.c_str\\(\\), &mparams, &cparams," 1
  "common_fit_params" 1)
xlc_override(llama-common common/llguidance.cpp common/llguidance.cpp)
xlc_override(llama-common common/sampling.cpp common/sampling.cpp EXPECT
  "\nstruct common_sampler \\* common_sampler_init\\(" 1
  "grammar_str.compare\\(0, 11, \"%llguidance\"\\) == 0" 1
  "llama_sampler_init_llg\\(vocab, \"lark\", grammar_str.c_str\\(\\)\\)" 1
  "rbudget = common_reasoning_budget_init\\(" 1)
xlc_override(llama-common common/reasoning-budget.cpp common/reasoning-budget.cpp EXPECT
  "static struct llama_sampler_i common_reasoning_budget_i = {" 1
  "ctx->remaining--" 1 # at 0 the ending is forced
  "ctx->force_pos" 10)
xlc_override(llama-common common/speculative.cpp common/speculative.cpp EXPECT
  "\ncommon_speculative \\* common_speculative_init\\(common_params_speculative & params, uint32_t n_seq\\) {" 1
  "\nvoid common_speculative_draft\\(common_speculative \\* spec\\) {" 1
  "common_speculative_draft\\(" 1
  # They draft in their order, and the first draft of a sequence is taken.
  "\n    for \\(auto & impl : spec->impls\\) {\n        {\n            common_time_meas tm\\(impl->t_draft_us" 1
  "if \\(dp.drafting && !result.empty\\(\\)\\) {\n                dp.drafting = false" 1)

xlc_override(llama-common common/fit.cpp common/fit.cpp EXPECT
  "llama_log_get\\(&ud.original_logger.callback, &ud.original_logger.user_data\\)" 1
  "llama_log_get" 1
  "llama_log_set\\(ud.original_logger.callback, ud.original_logger.user_data\\)" 3
  "llama_log_set" 4)
xlc_override(llama-common common/peg-parser.cpp common/peg-parser.cpp EXPECT
  # The only place where a parser runs another one.
  "\n    parser_executor exec\\(\\*this, ctx, start\\).\n    return std::visit\\(exec, parser\\).\n" 1
  "exec\\(" 1)

xlc_override(llama-common common/chat.cpp common/chat.cpp WITH common/jinja/template_budget.cpp common/jinja/value_costs.cpp EXPECT
  "\ncommon_chat_templates_ptr common_chat_templates_init\\(" 1
  "\ncommon_chat_params common_chat_templates_apply\\(" 1
  "\nbool common_chat_templates_support_enable_thinking\\(" 1
  "\nbool common_chat_verify_template\\(" 1
  "\nvoid common_chat_templates_free\\(" 1
  "runtime.execute\\(tmpl.prog\\).\n    auto parts = jinja::runtime::gather_string_parts\\(results\\).\n" 1
  "runtime.execute\\(" 1) # where a template runs, apart from the probes of caps.cpp
xlc_override(llama-common common/jinja/caps.cpp common/jinja/caps.cpp EXPECT
  "\n            auto parts = jinja::runtime::gather_string_parts\\(results\\).\n" 1
  "runtime.execute\\(" 1)
xlc_override(llama-common common/jinja/parser.cpp common/jinja/parser.cpp EXPECT
  # The only place that makes a node, and the only assertion of the file.
  "auto ptr = std::make_unique<T>\\(std::forward<Args>\\(args\\)\\.\\.\\.\\).\n        assert\\(start_pos < tokens.size\\(\\)\\).\n" 1
  "make_unique" 1
  "assert\\(" 1
  "\nprogram parse_from_tokens\\(const lexer_result & lexer_res\\) {" 1)
xlc_override(llama-common common/jinja/runtime.cpp common/jinja/runtime.cpp EXPECT
  "mk_val<value_func>\\(" 4 # names of functions, methods, macros, callers
  "value_func" 8
  "global_builtins\\(\\)" 3
  "\n    gather_string_parts_recursive\\([a-z_]+, [a-z]+\\).\n" 4
  "gather_string_parts_recursive" 4)
# Values that the overrides of Jinja pay for: their parts, and the functions that make large ones of small ones.
xlc_expect(common/jinja/value.h
  "std::vector<value> val_arr" 1
  "std::vector<std::pair<value, value>> val_obj" 1
  "struct value_tuple_t : public value_array_t {" 1)
xlc_expect(common/jinja/value.cpp
  "std::sort\\(" 2
  "val_int % args.get_pos\\(1\\)->val_int" 1
  "\\.assign\\(" 1
  "\\.reserve\\(" 2)
xlc_expect(common/jinja/runtime.h
  "predicate = test->execute_impl\\(ctx\\)" 1
  "struct select_expression : public expression {\n    statement_ptr lhs" 1)

# mtmd: sizes that media files claim ----------------------------------------------------------------------------------

xlc_override(mtmd tools/mtmd/mtmd-helper.cpp mtmd/mtmd-helper.cpp EXPECT
  "MINIAUDIO_IMPLEMENTATION|MA_NO_[A-Z_]+|MA_API static" 8 # the same part of miniaudio
  "ma_decoder_get_length_in_pcm_frames\\(&decoder, &frame_count\\)" 1
  "pcmf32_mono.resize\\(frame_count\\)" 1
  "ma_decoder_read_pcm_frames\\(&decoder, pcmf32_mono.data\\(\\), frame_count, &frames_read\\)" 1
  "ma_decoder_(get_length_in|read)_pcm_frames" 2
  "= \\(uint32_t\\)atoi\\(val\\)" 2 # a picture's sides
  "n_frames_orig = atoi\\(val\\)" 1
  "atoi\\(" 3)

# server-context: what a slot keeps, images with LoRA, forced tokens ----------------------------------------------

xlc_override(server-context tools/server/server-context.cpp server/server-context.cpp WITH server/prompt_pace.cpp server/step_watch.cpp EXPECT
  "decision.init\\(model_tgt\\);" 1
  "server_decision_context" 1
  "\n                                n_past = slot.prompt.tokens.get_common_prefix\\(input_tokens\\).\n" 1
  "\n                const size_t lcp_len = tokens.get_common_prefix\\(task.tokens\\).\n" 1
  "get_common_prefix" 2 # both a statement's whole value, so that a difference may follow the call
  "common_speculative_begin\\(spec.get\\(\\), slot.id, slot.prompt.tokens.get_text_tokens\\(\\)\\)" 1
  "common_speculative_begin" 1
  "auto result = common_speculative_get_output_limits\\(" 1
  "common_speculative_get_output_limits" 1
  "res = mtmd_helper_decode_image_chunk\\(" 1
  # A result of 1 leads to a smaller batch; the parts begin where the last one ended.
  "\n            ret = llama_process\\(ctx_tgt, LLAMA_PROCESS_TYPE_DECODE, batch.view.get\\(\\)\\).\n" 1
  "llama_process" 1
  "if \\(n_batch == 1 && ret == 1\\) {" 1
  "bool incomplete = validate_utf8\\(slot.generated.text\\) < slot.generated.text.size\\(\\)" 1
  "validate_utf8" 1
  "pos = string_find_partial_stop\\(text, word\\)" 1
  "string_find_partial_stop" 1
  "stop_word_toks = common_tokenize\\(ctx_tgt, slot.stopping_word, false\\)" 1
  "common_tokenize" 1
  "const std::string token_str = result.text_to_send" 1
  "\n            if \\(!try_clear_idle_slots\\(\\)\\) {\n                n_batch /= 2.\n" 1
  "const int32_t n_tokens = std::min\\(n_batch, batch.size\\(\\) - off\\)" 1
  # A step that does not fit is taken back: the loop goes on behind its end, and nobody reads its tokens.
  "off_next = off \\+ n_tokens" 1
  "metrics_post_decode\\(off, batch.view.size\\(\\), has_output\\)" 1
  "if \\(!is_inside_view\\(slot.i_batch\\)\\) {" 1
  # A slot with a draft adds its token and the draft in this order.
  "\n            spec_i_batch.push_back\\(batch.size\\(\\)\\).\n" 1
  "\n        prompt.tokens.push_back\\(sampled\\).\n        prompt.tokens.insert\\(spec_draft\\).\n" 1
  # Where prompts are put into the batch: the condition can change the sizes, and leaves out slots that wait.
  "\n        int32_t n_batch  = llama_n_batch\\(ctx_tgt\\).\n        int32_t n_ubatch = llama_n_ubatch\\(ctx_tgt\\).\n" 1
  "\n        if \\(params_base.cont_batching \\|\\| batch.size\\(\\) == 0\\) {\n" 1
  "cont_batching" 1
  "\n                if \\(slot.state == SLOT_STATE_WAIT_OTHER\\) {\n                    SLT_DBG" 1
  "SLOT_STATE_WAIT_OTHER" 6
  "slot.mem.seq_rm\\(slot.id, p0, -1\\)" 1 # before each part, so that a part can be undone
  "common_speculative_process\\((data->spec, batch|spec.get\\(\\), batch.view)\\)" 2
  "common_speculative_process" 2
  "res = mtmd_batch_encode\\(mbatch.get\\(\\)\\)" 1
  "mtmd_batch_encode" 1)
# A task that comes while the loop computes goes through the same function, and is offered again.
xlc_expect(tools/server/server-queue.cpp
  "callback_new_task\\(std::move\\(task\\), is_yielding\\)" 1)

xlc_override(server-context tools/server/server-common.cpp server/server-common.cpp EXPECT
  "const char \\* env = getenv\\(\"LLAMA_MEDIA_MARKER\"\\)" 1
  "getenv" 1)

# Files that are compiled unchanged -----------------------------------------------------------------------------------------

# loading/engine_params.cpp: the loop of common_params_parse, without what it does to the process.
xlc_expect(common/arg.h
  "\n    void \\(\\*handler_[a-z_]+ *\\) *\\(common_params & params" 5)
xlc_expect(common/arg.cpp
  "opt.handler_void\\(params\\)" 2 # an environment variable, an argument
  "opt.handler_bool\\(params, is_positive\\)" 1
  "opt.handler_int\\(params, std::stoi\\(val\\)\\)" 1
  "opt.handler_string\\(params, val\\)" 1
  "opt.handler_str_str\\(params, val, val2\\)" 1
  "params.mmproj_device = params.devices.front\\(\\);" 1 # engine_params.cpp does the same
  # Handlers that end the process: ours refuses their flags. Look at a new one.
  "[ (]exit\\([01]\\)" 6
  "params.kv_overrides.emplace_back\\(\\)" 1 # the ends of lists, after the loop
  "params.tensor_buft_overrides.push_back\\({nullptr, nullptr}\\)" 1
  "params.speculative.draft.tensor_buft_overrides.push_back\\({nullptr, nullptr}\\)" 1)

# generation/tool_parsers.py: the parsers of answers, and the schemas that llama.cpp makes them of.
xlc_expect(common/peg-parser.h
  "\nstruct common_peg_[a-z]+_parser {" 21)
xlc_expect(common/chat.cpp
  "\njson common_chat_tool_parameters\\(const json & function\\) {" 1)

# generation/load_checks.cpp and retrieval/encoder.cpp: words of llama.cpp's log that decide which error is raised.
xlc_expect(src/llama-model.cpp
  "unable to allocate %s buffer" 2)
xlc_expect(src/llama-kv-cache.cpp
  "failed to allocate buffer for kv cache" 1)
xlc_expect(src/llama-context.cpp
  "failed to allocate compute [pt][pg] buffers" 3)
xlc_expect(common/fit.cpp
  "failed to fit params to free device memory" 1)
xlc_expect(common/common.cpp
  "failed to load lora adapter" 1)
xlc_expect(tools/server/server-context.cpp
  "failed to load multimodal model, '%s'" 1)

# overrides/common/draft_checks.cpp: which layers heads may read is known from an exception.
xlc_expect(src/llama-graph.cpp
  "GGML_ASSERT\\(t_layer_inp\\[il\\] != nullptr && \"layer input tensor is null\"\\)" 1)

# loading/memory.cpp: headers of llama that are not installed. The estimate of a packed model reads its tensors.
xlc_expect(src/llama-model.h
  "std::vector<std::pair<std::string, struct ggml_tensor \\*>> tensors_by_name" 1
  "std::map<ggml_backend_buffer_type_t, size_t> memory_breakdown\\(\\) const" 1)
xlc_expect(src/llama-ext.h
  "llama_memory_breakdown llama_get_memory_breakdown\\(const struct llama_context \\* ctx\\)" 1)

# overrides/server/server_slots.h: private members, and how the loop chooses a slot.
xlc_expect(tools/server/server-context.cpp
  "\n    bool process_single_task\\(server_task && task, bool is_yielding\\)" 1
  "\n    void update_slots\\(\\)" 1
  "queue_tasks.on_update_slots\\(\\[this\\]\\(\\) {\n            update_slots\\(\\).\n        }\\)" 1
  "if \\(f_sim_cur > f_sim_best && f_sim_cur > slot_prompt_similarity\\)" 1
  "if \\(f_keep < 0.5f\\)" 1
  "std::unique_ptr<server_prompt_cache> prompt_cache" 1)

# overrides/server/pool.h, paused_slot.h and pool_cells.h: slots that wait are left alone, a loop with running slots
# comes back, a restored or repeated prompt continues at its last token, and cells can be counted.
xlc_expect(tools/server/server-context.cpp
  "if \\(slot.state != SLOT_STATE_GENERATING\\) {\n                return.\n" 2
  "if \\(other.state == SLOT_STATE_WAIT_OTHER && slot.task->id == other.task->id_parent\\)" 1
  "server_task task\\(SERVER_TASK_TYPE_NEXT_RESPONSE\\)" 1
  "void copy_prompt_to\\(server_slot & other\\) const {" 1)
xlc_expect(tools/server/server-common.h
  "int64_t t_(start|prompt_last|gen_last) += 0." 4)
xlc_expect(src/llama-kv-cache.h
  "const llama_kv_cells & get_cells\\(llama_seq_id seq_id\\) const" 1)
xlc_expect(src/llama-arch.h
  "bool llm_arch_is_(recurrent|hybrid) +\\(const llm_arch & arch\\)" 2)

# models/convert_process.py: the converter's classes and the tables it looks them up in.
xlc_expect(conversion/base.py
  "\n    _model_classes: dict" 1
  "return cls._model_classes\\[model_type\\]\\[" 1
  "\n    def get_vocab_base_pre\\(self, tokenizer\\) -> str:" 1
  "\n    def _try_set_pooling_type\\(self\\) -> None:" 1
  "raise NotImplementedError\\(\"BPE pre-tokenizer was not recognized" 1
  "\ndef get_model_architecture\\(hparams: dict.str, Any., model_type: ModelType\\) -> str:" 1)
xlc_expect(conversion/__init__.py
  "\nTEXT_MODEL_MAP: dict.str, str. = {" 1
  "\ndef get_model_class\\(name: str, mmproj: bool = False\\)" 1)
xlc_expect(conversion/bert.py
  "\nclass BertModel\\(TextModel\\):" 1
  "\nclass JinaBertV2Model\\(BertModel\\):" 1
  "self.cls_out_labels = cls_out_labels" 1
  "\"pooler.dense.weight\", \"pooler.dense.bias\"\\)" 1)

# Backends in wheels of their own: cmake/contract.cmake reads the first, xlc_core/backends.py the second.
xlc_expect(ggml/src/ggml-backend-impl.h "#define GGML_BACKEND_API_VERSION [0-9]+\n" 1)
xlc_expect(ggml/src/ggml-backend-reg.cpp "ggml_backend_init returned NULL" 1)
