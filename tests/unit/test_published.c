/* tests/unit/test_published.c -- checkpoints of every family against what transformers computes for
 * them, through the command, sessions and products, also with config.json as the published
 * repositories spell it. Models that lie beside the project (../shared) are skipped where they are
 * not. */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <json-c/json.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ir/util.h"
#include "runtime/rt.h"
#include "tests/aot.h"
#include "tests/golden.h"
#include "tests/model_run.h"

static const struct {
    char folder[24], name[32];
    double f32, bf16, int8; /* how far they may be off */
} models[] = {
#define GOLDEN(folder, name, bf16, int8)          {folder, name, GOLDEN_F32, bf16, int8},
#define GOLDEN_OFF(folder, name, f32, bf16, int8) {folder, name, f32, bf16, int8},
#include "tests/goldens.def"
};

/* What half of the rows keep to, where that is less than the bound of all. */
static const struct {
    char name[32];
    double bf16, int8;
} typical[] = {
#define GOLDEN_OFF(folder, name, f32, bf16, int8)
#define GOLDEN_ROW(name, bf16, int8) {name, bf16, int8},
#include "tests/goldens.def"
};

/* The model's directory, or one beside the project that may not be there: then the test ends. */
static const char *
folder_of(Arena *arena, size_t model)
{
    const char *dir =
        arena_printf(arena, SSMC_ROOT "/%s/%s", models[model].folder, models[model].name);
    if (access(dir, R_OK) != 0)
        cr_skip("there is no %s", dir);
    return dir;
}

static const char *
golden_of(Arena *arena, const char *dir)
{
    return arena_printf(arena, "%s/golden.safetensors", dir);
}

/* ---- logits -------------------------------------------------------------------------------- */

static const char *const settings[][2] = {
    {"f32",  "split"  },
    {"bf16", "split"  },
    {"int8", "split"  },
    {"f32",  "prefill"},
    {"f32",  "step"   },
};
enum { ONCE = 3 }; /* settings that take turns where tests are not thorough */

typedef struct {
    size_t model, setting;
} Case;

ParameterizedTestParameters(published, logits)
{
    static Case cases[COUNT_OF(models) * COUNT_OF(settings)];
    size_t n = 0;
    for (size_t model = 0; model < COUNT_OF(models); model++)
        for (size_t s = 0; s < COUNT_OF(settings); s++)
            if (thorough() || s == model % ONCE)
                cases[n++] = (Case){model, s};
    return cr_make_param_array(Case, cases, n);
}

ParameterizedTest(Case *c, published, logits)
{
    Arena *arena = arena_new();
    const char *dir = folder_of(arena, c->model), *dtype = settings[c->setting][0];
    const bool f32 = strcmp(dtype, "f32") == 0, bf16 = strcmp(dtype, "bf16") == 0;
    const double bound = f32    ? models[c->model].f32
                         : bf16 ? models[c->model].bf16
                                : models[c->model].int8;
    double rows = bound;
    for (size_t i = 0; i < COUNT_OF(typical) && !f32; i++)
        if (strcmp(typical[i].name, models[c->model].name) == 0)
            rows = bf16 ? typical[i].bf16 : typical[i].int8;
    char *err =
        golden_check_rows(dir, golden_of(arena, dir),
                          ARGS("--dtype", dtype, "--mode", settings[c->setting][1]), bound, rows);
    cr_expect_str_eq(err, "", "%s", dir);
    free(err);
    arena_free(arena);
}

/* ---- greedy ids ------------------------------------------------------------------------------ */

ParameterizedTestParameters(published, greedy)
{
    static Case cases[COUNT_OF(models)];
    size_t n = 0;
    for (size_t i = 0; i < COUNT_OF(models); i += thorough() ? 1 : 4)
        cases[n++].model = i;
    return cr_make_param_array(Case, cases, n);
}

static int32_t *
ids_of(Arena *arena, const RtTensorFile *file, const char *name, int64_t *count)
{
    const RtTensor *t = rt_tensors_find(file, name);
    cr_assert(t && strcmp(t->dtype, "I64") == 0, "%s", name);
    *count = (int64_t)(t->bytes / sizeof(int64_t));
    int32_t *ids = arena_array(arena, (size_t)*count, sizeof *ids);
    for (int64_t i = 0; i < *count; i++) {
        int64_t id;
        memcpy(&id, (const char *)t->data + (size_t)i * sizeof id, sizeof id);
        ids[i] = (int32_t)id;
    }
    return ids;
}

ParameterizedTest(Case *c, published, greedy)
{
    Arena *arena = arena_new();
    const char *dir = folder_of(arena, c->model);
    RtTensorFile *golden = NULL;
    cr_assert_eq(rt_tensors_open(golden_of(arena, dir), &golden), SSMC_OK, "%s", ssmc_error());
    if (!rt_tensors_find(golden, "greedy_prompt"))
        cr_skip("%s has logits alone", dir);
    int64_t prompt = 0, count = 0;
    const int32_t *feed = ids_of(arena, golden, "greedy_prompt", &prompt);
    const int32_t *want = ids_of(arena, golden, "greedy_ids", &count);
    ModelRun *run = MODEL_RUN(dir, "--dtype", "f32");
    ssmc_session *s = model_run_session(run, 1, 2);
    const int64_t vocab = ssmc_model_vocab(model_run_model(run));
    float *logits = arena_array(arena, (size_t)vocab, sizeof *logits); /* [vocab] */
    for (int64_t i = 0; i < count; i++) {
        cr_assert_eq(ssmc_prefill(s, 0, feed, i ? 1 : prompt, logits), SSMC_OK, "%s", ssmc_error());
        int32_t best = 0;
        for (int32_t v = 1; v < vocab; v++)
            best = logits[v] > logits[best] ? v : best;
        cr_assert_eq(best, want[i], "%s: id %lld is %d, not %d", dir, (long long)i, (int)best,
                     (int)want[i]);
        feed = &want[i];
    }
    ssmc_session_close(s);
    model_run_close(run);
    rt_tensors_close(golden);
    arena_free(arena);
}

/* ---- products -------------------------------------------------------------------------------- */

/* Attention beside Mamba-2, experts of both kinds, shared blocks, the delta rule. */
static const char *const compiled[] = {"bamba-base", "jamba-base", "nemotron_h-moe", "zamba2-base",
                                       "olmo_hybrid-base"};

ParameterizedTestParameters(published, products)
{
    static Case cases[COUNT_OF(compiled)];
    for (size_t i = 0; i < COUNT_OF(compiled); i++)
        cases[i].model = i;
    return cr_make_param_array(Case, cases, COUNT_OF(compiled));
}

ParameterizedTest(Case *c, published, products)
{
    static const char *const modes[] = {"prefill", "step", "split"};
    Arena *arena = arena_new();
    const char *model = arena_printf(arena, SSMC_ROOT "/tests/goldens/%s", compiled[c->model]);
    char *dir = temp_dir();
    char *so = aot_compile(model, dir, "m.so",
                           ARGS("--emit", "so", "--weights", "embed", "--dtype", "f32"));
    for (size_t i = 0; i < COUNT_OF(modes); i++)
        free(golden_check(so, golden_of(arena, model), ARGS("--mode", modes[i]), GOLDEN_F32));
    temp_dir_remove(dir);
    free(so);
    arena_free(arena);
}

/* ---- config.json as published ---------------------------------------------------------------- */

/* What a repository's config.json says otherwise than transformers 5, which wrote the golden's:
 * keys and values; a key after '-' is not there ("-*": none of the golden's is). */
static const struct {
    char golden[32];
    const char *says;
} spellings[] = {
    {"llama-base",
     "{'-rope_parameters': 0, '-head_dim': 0, '-attention_bias': 0, '-mlp_bias': 0, '-dtype': 0,"
     " 'rope_theta': 10000.0, 'rope_scaling': null, 'torch_dtype': 'float32',"
     " 'transformers_version': '4.40.0.dev0'}"                                                             },
    {"llama-base",            /* Mistral-7B-v0.1 */
     "{'-rope_parameters': 0, '-head_dim': 0, '-attention_bias': 0, '-mlp_bias': 0, '-dtype': 0,"
     " '-pretraining_tp': 0, 'model_type': 'mistral', 'architectures': ['MistralForCausalLM'],"
     " 'rope_theta': 10000.0, 'sliding_window': 4096, 'torch_dtype': 'float32'}"         },
    {"gpt_neox-base",         /* Pythia */
     "{'-rope_parameters': 0, '-attention_bias': 0, '-attention_dropout': 0, '-dtype': 0,"
     " '-hidden_dropout': 0, 'rotary_pct': 0.25, 'rotary_emb_base': 10000,"
     " 'torch_dtype': 'float16'}"                                                     },
    {"bamba-base",
     "{'-rope_parameters': 0, '-dtype': 0, '-time_step_limit': 0, '-z_loss_coefficient': 0,"
     " 'rope_theta': 10000.0, 'rope_scaling': null, 'torch_dtype': 'bfloat16',"
     " 'use_mamba_kernels': true, 'mamba_chunk_size': 256}"                                                },
    {"bamba-base",            /* of the first conversions */
     "{'-rope_parameters': 0, '-partial_rotary_factor': 0, '-dtype': 0, '-time_step_limit': 0,"
     " '-mamba_d_head': 0, 'attn_rotary_emb': 8, 'rope_theta': 10000.0, 'rope_scaling': null,"
     " 'mamba_d_head': 'auto', 'torch_dtype': 'bfloat16'}"                               },
    {"jamba-base",
     "{'-dtype': 0, '-use_associative_scan': 0, '-use_mambapy': 0, '-max_position_embeddings': 0,"
     " 'auto_map': {'AutoConfig': 'configuration_jamba.JambaConfig'}, 'n_ctx': 262144,"
     " 'calc_logits_for_entire_prompt': false, 'mamba_inner_layernorms': true,"
     " 'mamba_dt_rank': 'auto', 'num_logits_to_keep': 1, 'sliding_window': null,"
     " 'use_mamba_kernels': true, 'torch_dtype': 'bfloat16'}"                                              },
    {"granitemoehybrid-moe",
     "{'-rope_parameters': 0, '-dtype': 0, '-time_step_limit': 0,"
     " 'layer_types': ['mamba', 'attention', 'mamba', 'mamba'], 'rope_theta': 10000,"
     " 'rope_scaling': null, 'torch_dtype': 'bfloat16', 'init_method': 'mup',"
     " 'normalization_function': 'rmsnorm', 'mamba_chunk_size': 256}"                                      },
    {"granitemoehybrid-moe",
     "{'-rope_parameters': 0, '-dtype': 0, '-time_step_limit': 0, '-layer_types': 0,"
     " 'layers_block_type': ['mamba', 'attention', 'mamba', 'mamba'], 'rope_theta': 10000,"
     " 'rope_scaling': null, 'torch_dtype': 'bfloat16', 'mamba_d_head': 'auto'}"                           },
    {"falcon_h1-multipliers",
     "{'-rope_parameters': 0, '-dtype': 0, '-time_step_limit': 0, 'attn_layer_indices': null,"
     " 'mamba_use_mlp': true, 'mlp_expansion_factor': 8, 'rope_scaling': null,"
     " 'rope_theta': 10000.0, 'torch_dtype': 'bfloat16'}"                                                  },
    {"nemotron_h-moe",
     "{'-dtype': 0, '-layers_block_type': 0, '-head_dim': 0, '-mtp_layers_block_type': 0,"
     " '-num_nextn_predict_layers': 0, '-moe_latent_size': 0, '-moe_shared_expert_overlap': 0,"
     " 'auto_map': {'AutoConfig': 'configuration_nemotron_h.NemotronHConfig'},"
     " 'hybrid_override_pattern': 'ME*E', 'num_hidden_layers': 4, 'norm_eps': 1e-05,"
     " 'partial_rotary_factor': 1.0, 'rope_theta': 10000, 'time_step_limit': [0.0, Infinity],"
     " 'torch_dtype': 'bfloat16'}"                                                                         },
    {"zamba2-base",
     "{'-rope_parameters': 0, '-dtype': 0, 'rope_theta': 10000, 'time_step_limit': null,"
     " 'layers_block_type': ['mamba', 'mamba', 'hybrid', 'mamba'], 'sliding_window': null,"
     " 'use_shared_mlp_adapter': true, 'torch_dtype': 'bfloat16'}"                                         },
    {"qwen3_next-base",
     "{'-rope_parameters': 0, '-dtype': 0, '-layer_types': 0, 'full_attention_interval': 4,"
     " 'rope_theta': 10000, 'rope_scaling': null, 'torch_dtype': 'bfloat16',"
     " 'use_sliding_window': false}"                                                                       },
    {"minimax-lightning",
     "{'-*': 0, 'model_type': 'minimax_text_01', 'attn_type_list': [0, 1, 0, 1], 'head_dim': 16, "
     "'hidden_act': 'silu',"
     " 'hidden_size': 64, 'intermediate_size': 48, 'layernorm_full_attention_alpha': 1,"
     " 'layernorm_linear_attention_beta': 1, 'num_attention_heads': 4, 'num_experts_per_tok': 2,"
     " 'num_hidden_layers': 4, 'num_key_value_heads': 2, 'num_local_experts': 4, 'postnorm': true,"
     " 'rms_norm_eps': 1e-05, 'rope_theta': 1000000, 'rotary_dim': 16, 'shared_intermediate_size': "
     "[0],"
     " 'shared_moe_mode': 'sigmoid', 'sliding_window': null, 'tie_word_embeddings': false, "
     "'vocab_size': 160}"                                                                                  },
    {"minimax-lightning",
     "{'-*': 0, 'model_type': 'minimax_m1', 'attn_type_list': [0, 1, 0, 1], 'head_dim': 16, "
     "'hidden_act': 'silu',"
     " 'hidden_size': 64, 'intermediate_size': 48, 'layernorm_full_attention_alpha': 1,"
     " 'layernorm_linear_attention_beta': 1, 'num_attention_heads': 4, 'num_experts_per_tok': 2,"
     " 'num_hidden_layers': 4, 'num_key_value_heads': 2, 'num_local_experts': 4, 'postnorm': true,"
     " 'rms_norm_eps': 1e-05, 'rope_theta': 1000000, 'rotary_dim': 16, 'shared_intermediate_size': "
     "0,"
     " 'shared_moe_mode': 'sigmoid', 'sliding_window': null, 'tie_word_embeddings': false, "
     "'vocab_size': 160}"                                                                                  },
    {"kimi_linear-base",
     "{'-dtype': 0, '-layer_types': 0, '-mlp_layer_types': 0, '-linear_head_dim': 0,"
     " '-linear_num_heads': 0, '-linear_conv_kernel_dim': 0, '-qk_head_dim': 0,"
     " '-attention_bias': 0, '-attention_dropout': 0, '-pretraining_tp': 0,"
     " 'auto_map': {'AutoConfig': 'configuration_kimi.KimiLinearConfig'}, 'mla_use_nope': true,"
     " 'moe_layer_freq': 1, 'moe_router_activation_func': 'sigmoid', 'use_grouped_topk': true,"
     " 'num_nextn_predict_layers': 0, 'rope_scaling': null, 'rope_theta': 10000.0,"
     " 'torch_dtype': 'bfloat16'}"                                                                         },
    {"mamba2-base",           "{'-dtype': 0, 'time_step_limit': [0.0, Infinity], 'torch_dtype': 'float32'}"},
    {"mamba2-base",           /* state-spaces */
     "{'-*': 0, 'd_model': 64, 'd_intermediate': 0, 'n_layer': 3, 'vocab_size': 150,"
     " 'ssm_cfg': {'layer': 'Mamba2', 'd_state': 32, 'headdim': 16}, 'attn_layer_idx': [],"
     " 'attn_cfg': {}, 'rms_norm': true, 'residual_in_fp32': true, 'fused_add_norm': true,"
     " 'pad_vocab_size_multiple': 16, 'tie_embeddings': true}"                          },
    {"mamba-base",
     "{'-*': 0, 'd_model': 64, 'n_layer': 3, 'vocab_size': 155, 'ssm_cfg': {}, 'rms_norm': true,"
     " 'residual_in_fp32': true, 'fused_add_norm': true, 'pad_vocab_size_multiple': 8}"                    },
};

/* The golden's config with what a row says; owned by the caller. */
static char *
config_with(const char *dir, const char *says)
{
    char *path = path_join(dir, "config.json"), *text = text_replace(says, "'", "\"");
    struct json_object *config = json_object_from_file(path), *edits = json_tokener_parse(text);
    cr_assert(config && edits, "%s: %s", path, says);
    json_object_object_foreach(edits, key, value)
    {
        if (strcmp(key, "-*") == 0) {
            json_object_put(config);
            config = json_object_new_object();
        } else if (key[0] == '-') {
            cr_expect(json_object_object_get_ex(config, key + 1, NULL), "%s: no %s", path, key + 1);
            json_object_object_del(config, key + 1);
        } else {
            json_object_object_add(config, key, json_object_get(value));
        }
    }
    char *out = strdup(json_object_to_json_string(config));
    json_object_put(config);
    json_object_put(edits);
    free(path);
    free(text);
    return out;
}

static double
f32_of(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(models); i++)
        if (strcmp(models[i].name, name) == 0)
            return models[i].f32;
    return GOLDEN_F32;
}

ParameterizedTestParameters(published, spellings)
{
    static Case cases[COUNT_OF(spellings)];
    for (size_t i = 0; i < COUNT_OF(spellings); i++)
        cases[i].model = i;
    return cr_make_param_array(Case, cases, COUNT_OF(spellings));
}

/* Every key of it is known: there is no note. */
ParameterizedTest(Case *c, published, spellings)
{
    Arena *arena = arena_new();
    const char *dir =
        arena_printf(arena, SSMC_ROOT "/tests/goldens/%s", spellings[c->model].golden);
    char *model = temp_dir(), *path = path_join(model, "config.json");
    char *weights = path_join(model, "model.safetensors");
    char *config = config_with(dir, spellings[c->model].says);
    cr_assert(write_whole(path, config, strlen(config)));
    cr_assert_eq(symlink(arena_printf(arena, "%s/model.safetensors", dir), weights), 0);
    char *err = golden_check(model, golden_of(arena, dir), ARGS("--dtype", "f32"),
                             f32_of(spellings[c->model].golden));
    cr_expect_str_eq(err, "", "%s\n%s", config, err);
    temp_dir_remove(model);
    free(err);
    free(path);
    free(weights);
    free(config);
    arena_free(arena);
}

/* A list of ranks needs the tokenizer_config.json beside it, and no more. */
Test(published, a_list_of_ranks_is_a_tokenizer)
{
    Arena *arena = arena_new();
    static const char *const files[][2] = {
        {"goldens/kimi_linear-base/config.json",       "config.json"      },
        {"goldens/kimi_linear-base/model.safetensors", "model.safetensors"},
        {"data/tokenizers/kimi/tiktoken.model",        "tiktoken.model"   },
    };
    char *model = temp_dir(), *config = path_join(model, "tokenizer_config.json");
    for (size_t i = 0; i < COUNT_OF(files); i++)
        cr_assert_eq(symlink(arena_printf(arena, SSMC_ROOT "/tests/%s", files[i][0]),
                             arena_printf(arena, "%s/%s", model, files[i][1])),
                     0);
    const char *const argv[] = {SSMC_BINARY, "tokenize", model, NULL};
    CommandResult r = command_run(argv, "<s>x", 4);
    cr_expect_neq(r.status, 0);
    cr_expect(strstr(r.err, "it says nothing of how texts are split"), "%s", r.err);
    command_free(&r);
    cr_assert_eq(symlink(SSMC_ROOT "/tests/data/tokenizers/kimi/tokenizer_config.json", config), 0);
    r = command_run(argv, "<s>x", 4);
    cr_expect_eq(r.status, 0, "%s", r.err);
    cr_expect_str_eq(r.out, "898 120\n");
    command_free(&r);
    temp_dir_remove(model);
    free(config);
    arena_free(arena);
}

/* Heads that predict several tokens are no part of the model: a note says that they are there. */
Test(published, heads_of_several_tokens_are_left_out)
{
    static const char *const names[] = {"mtp.fc.weight", "mtp.layers.0.input_layernorm.weight"};
    Arena *arena = arena_new();
    const char *golden = SSMC_ROOT "/tests/goldens/qwen3_next-base";
    char *model = temp_dir(), *config = path_join(model, "config.json");
    char *weights = path_join(model, "model.safetensors");
    RtTensorFile *file = NULL;
    cr_assert_eq(rt_tensors_open(arena_printf(arena, "%s/model.safetensors", golden), &file),
                 SSMC_OK);
    const int count = rt_tensors_count(file);
    RtTensor *all = arena_array(arena, (size_t)count + 2, sizeof *all);
    for (int i = 0; i < count; i++)
        all[i] = *rt_tensors_at(file, i);
    for (int i = 0; i < 2; i++) {
        all[count + i] = *rt_tensors_find(file, "model.norm.weight");
        all[count + i].name = names[i];
    }
    cr_assert_eq(rt_tensors_write(weights, all, count + 2), SSMC_OK);
    cr_assert_eq(symlink(arena_printf(arena, "%s/config.json", golden), config), 0);
    char *err = golden_check(model, golden_of(arena, golden), ARGS("--dtype", "f32"),
                             f32_of("qwen3_next-base"));
    cr_expect(strstr(err, "2 tensors left out, mtp.*: heads that predict several tokens"), "%s",
              err);
    rt_tensors_close(file);
    temp_dir_remove(model);
    free(err);
    free(weights);
    free(config);
    arena_free(arena);
}

/* Published MiniMax models have no rates of decay: what transformers computes of them is made. */
Test(published, rates_of_decay_that_a_checkpoint_lacks_are_made)
{
    Arena *arena = arena_new();
    const char *from = SSMC_ROOT "/tests/goldens/minimax-lightning";
    char *model = temp_dir(), *config = path_join(model, "config.json");
    char *weights = path_join(model, "model.safetensors"), *library = path_join(model, "m.so");
    RtTensorFile *file = NULL;
    cr_assert_eq(rt_tensors_open(arena_printf(arena, "%s/model.safetensors", from), &file),
                 SSMC_OK);
    RtTensor *all = arena_array(arena, (size_t)rt_tensors_count(file), sizeof *all);
    int count = 0;
    for (int i = 0; i < rt_tensors_count(file); i++)
        if (!strstr(rt_tensors_at(file, i)->name, "slope_rate"))
            all[count++] = *rt_tensors_at(file, i);
    cr_expect_eq(count, rt_tensors_count(file) - 2);
    cr_assert_eq(rt_tensors_write(weights, all, count), SSMC_OK);
    cr_assert_eq(symlink(arena_printf(arena, "%s/config.json", from), config), 0);
    const char *golden = golden_of(arena, from);
    free(golden_check(model, golden, ARGS("--dtype", "f32"), GOLDEN_F32));
    CommandResult r =
        aot_ssmc(ARGS("compile", model, "--emit", "so", "--dtype", "f32", "-o", library));
    cr_assert_eq(r.status, 0, "%s", r.err);
    command_free(&r);
    free(golden_check(library, golden, ARGS(NULL), GOLDEN_F32));
    rt_tensors_close(file);
    temp_dir_remove(model);
    free(library);
    free(weights);
    free(config);
    arena_free(arena);
}

/* ---- configs that do not fit ------------------------------------------------------------------
 */

/* Changes of a golden's config.json, and what is said of them, in pieces separated by '|'. */
static const struct {
    char golden[32];
    const char *says, *fault;
} faults[] = {
    {"jamba-base",           "{'num_experts': 3}",
     "router.weight' has the shape [4,64]; expected [3,64]|the size 3 comes from experts|"
     "'model.layers.1.feed_forward.experts.3.down_proj.weight'|which the model does not use"                                                                   },
    {"jamba-base",           "{'num_experts': 8}",
     "expected [8,64]|there is no tensor 'model.layers.1.feed_forward.experts.4.gate_proj.weight'"                                                             },
    {"jamba-base",           "{'num_experts': -4}",
     "config.json:1:|experts is '-4'; expected a whole number from 1 to 65536"                                                                                 },
    {"jamba-base",           "{'num_experts_per_tok': 5}",
     "config.json:1:|top = 5, which must be at most experts = 4"                                                                                               },
    {"jamba-base",           "{'attn_layer_period': 0}",
     "attn_layer_offset = 1, which must be less than attn_layer_period = 0"                                                                                    },
    {"granitemoehybrid-moe", "{'num_local_experts': 8}",
     "block_sparse_moe.input_linear.weight' has the shape [4,96,64]; expected [8,96,64]"                                                                       },
    {"granitemoehybrid-moe", "{'num_local_experts': 0}",
     "block_sparse_moe.input_linear.weight'|which the model does not use"                                                                                      },
    {"nemotron_h-moe",       "{'n_group': 3}",                                               "experts = 4, which is not a multiple of groups = 3"              },
    {"nemotron_h-moe",       "{'n_group': 2, 'topk_group': 3}",
     "kept = 3, which must be at most groups = 2"                                                                                                              },
    {"llama-base",           "{'num_key_value_heads': 3}",
     "heads = 4, which is not a multiple of groups = 3"                                                                                                        },
    {"llama-base",           "{'num_attention_heads': 0}",                                   "heads is '0'; expected a whole number from 1"                    },
    {"llama-base",           "{'sliding_window': -5}",                                       "window is '-5'; expected a whole number from 0"                  },
    {"llama-base",           "{'rope_parameters': {'rope_type': 'dynamic', 'factor': 2.0}}",
     "rope_parameters.rope_type is 'dynamic'; only 'default' or 'linear' or 'llama3' or 'yarn'"                                                                },
    {"llama-base",
     "{'rope_parameters': {'rope_type': 'longrope', 'attention_factor': 1.0, 'short_factor': [1, "
     "2, 3, 4, 5, 6, 7, 8],"
     " 'long_factor': [1, 2, 3, 4, 5, 6, 7, 9]}}",                                           "angle.short differs from angle.long, and must not"               },
    {"llama-base",
     "{'rope_parameters': {'rope_type': 'longrope', 'factor': 4.0, 'short_factor': [1, 2], "
     "'long_factor': [1, 2]}}",                                                              "angle.scale = 0, but 1"                                          },
    {"llama-base",
     "{'rope_parameters': {'rope_type': 'longrope', 'attention_factor': 1.0, 'short_factor': [1, "
     "2], 'long_factor': [1, 2]}}",                                                          "scaling=longrope takes 8 factors, not 2"                         },
    {"minimax-lightning",
     "{'model_type': 'minimax_m1', '-layer_types': 0, 'attn_type_list': [0, 1, 0, 1], 'postnorm': "
     "false,"
     " 'shared_intermediate_size': 64}",                                                     "postnorm is 'false'; only|shared_intermediate_size is '64'; only"},
    {"minimax-lightning",
     "{'model_type': 'minimax_m1', '-layer_types': 0, 'attn_type_list': [0, 1, 2, 1], 'postnorm': "
     "true}",                                                                                "layer 2, '2', is of no kind that family minimax knows"           },
    {"llama-base",           "{'model_type': 'opt'}",
     "model_type is 'opt'; known are|what was recognised here|dim: 64|block: attention, heads: 4"                                                              },
    {"bamba-base",           "{'attn_layer_indices': [7]}",
     "model.layers.1.self_attn.k_proj.weight'|which the model does not use|there is no tensor "
     "'model.layers.1.mamba.in_proj.weight'"                                                                                                                   },
};

Test(published, configs_that_do_not_fit_their_weights)
{
    Arena *arena = arena_new();
    char *model = temp_dir(), *path = path_join(model, "config.json");
    char *weights = path_join(model, "model.safetensors");
    for (size_t i = 0; i < COUNT_OF(faults); i++) {
        const char *dir = arena_printf(arena, SSMC_ROOT "/tests/goldens/%s", faults[i].golden);
        char *config = config_with(dir, faults[i].says), *pieces = strdup(faults[i].fault);
        unlink(weights);
        cr_assert(write_whole(path, config, strlen(config)));
        cr_assert_eq(symlink(arena_printf(arena, "%s/model.safetensors", dir), weights), 0);
        CommandResult r = aot_ssmc(ARGS("explain", model));
        cr_expect_eq(r.status, 2, "%s: status %d", faults[i].says, r.status);
        for (const char *piece = strtok(pieces, "|"); piece; piece = strtok(NULL, "|"))
            cr_expect(strstr(r.err, piece), "%s: expected '%s' in:\n%s", faults[i].says, piece,
                      r.err);
        command_free(&r);
        free(config);
        free(pieces);
    }
    temp_dir_remove(model);
    free(path);
    free(weights);
    arena_free(arena);
}

/* ---- files of those who made the models ----------------------------------------------------- */

/* Hybrids of state-spaces (attn_layer_idx) in files of torch.save, and Codestral Mamba's
 * params.json with a prefix in its names; tests/data/torch/hybrids.py has computed the logits. */
Test(published, layouts_of_state_spaces_and_of_codestral)
{
    static const char *const names[] = {"mamba2attn", "mamba1attn", "transformerpp", "codestral"};
    static const char *const modes[] = {"prefill", "step", "split"};
    Arena *arena = arena_new();
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        const char *dir = arena_printf(arena, SSMC_ROOT "/tests/data/torch/%s", names[i]);
        const char *golden = arena_printf(arena, "%s.safetensors", dir);
        for (size_t k = 0; k < COUNT_OF(modes); k++) {
            char *err =
                golden_check(dir, golden, ARGS("--dtype", "f32", "--mode", modes[k]), GOLDEN_F32);
            cr_expect_str_eq(err, "", "%s", dir);
            free(err);
        }
    }
    arena_free(arena);
}

/* Name and rows of a weight in consolidated.safetensors: transformers has the halves of a head that
 * positions turn one behind the other, Mistral's files have them in neighbouring pairs. */
static const struct {
    const char *published, *name;
    bool pairs;
} consolidated[] = {
    {"tok_embeddings.weight",            "model.embed_tokens.weight",                       false},
    {"norm.weight",                      "model.norm.weight",                               false},
    {"layers.%d.attention_norm.weight",  "model.layers.%d.input_layernorm.weight",          false},
    {"layers.%d.attention.wq.weight",    "model.layers.%d.self_attn.q_proj.weight",         true },
    {"layers.%d.attention.wk.weight",    "model.layers.%d.self_attn.k_proj.weight",         true },
    {"layers.%d.attention.wv.weight",    "model.layers.%d.self_attn.v_proj.weight",         false},
    {"layers.%d.attention.wo.weight",    "model.layers.%d.self_attn.o_proj.weight",         false},
    {"layers.%d.ffn_norm.weight",        "model.layers.%d.post_attention_layernorm.weight", false},
    {"layers.%d.feed_forward.w1.weight", "model.layers.%d.mlp.gate_proj.weight",            false},
    {"layers.%d.feed_forward.w2.weight", "model.layers.%d.mlp.down_proj.weight",            false},
    {"layers.%d.feed_forward.w3.weight", "model.layers.%d.mlp.up_proj.weight",              false},
};
enum { LAYERS = 3, HEAD_DIM = 16 };

/* name with the layer in the place of %d. */
static const char *
layer_name(Arena *arena, const char *name, int layer)
{
    char *made = text_replace(name, "%d", arena_printf(arena, "%d", layer));
    const char *copy = arena_strdup(arena, made);
    free(made);
    return copy;
}

static const void *
rows_in_pairs(Arena *arena, const RtTensor *t)
{
    const size_t row = t->bytes / (size_t)t->dim[0];
    char *data = arena_alloc(arena, t->bytes);
    for (int64_t r = 0; r < t->dim[0]; r++) {
        const int64_t i = r % HEAD_DIM, source = r - i + i / 2 + i % 2 * (HEAD_DIM / 2);
        memcpy(data + (size_t)r * row, (const char *)t->data + (size_t)source * row, row);
    }
    return data;
}

/* params.json and consolidated.safetensors of the golden's weights in a directory. */
static void
write_consolidated(Arena *arena, const char *golden, const char *dir)
{
    static const char params[] =
        "{\"dim\": 64, \"n_layers\": 3, \"head_dim\": 16, \"hidden_dim\": 96, \"n_heads\": 4,"
        " \"n_kv_heads\": 2, \"norm_eps\": 1e-06, \"vocab_size\": 160, \"rope_theta\": 10000.0,"
        " \"tied_embeddings\": true}";
    RtTensorFile *file = NULL;
    RtTensor tensors[COUNT_OF(consolidated) * LAYERS];
    int count = 0;
    cr_assert_eq(rt_tensors_open(arena_printf(arena, "%s/model.safetensors", golden), &file),
                 SSMC_OK, "%s", ssmc_error());
    for (size_t i = 0; i < COUNT_OF(consolidated); i++) {
        const int layers = strchr(consolidated[i].name, '%') ? LAYERS : 1;
        for (int layer = 0; layer < layers; layer++) {
            const char *name = layer_name(arena, consolidated[i].name, layer);
            const RtTensor *t = rt_tensors_find(file, name);
            cr_assert(t, "%s", name);
            tensors[count] = *t;
            tensors[count].name = layer_name(arena, consolidated[i].published, layer);
            if (consolidated[i].pairs)
                tensors[count].data = rows_in_pairs(arena, t);
            count++;
        }
    }
    cr_assert_eq(
        rt_tensors_write(arena_printf(arena, "%s/consolidated.safetensors", dir), tensors, count),
        SSMC_OK, "%s", ssmc_error());
    cr_assert(write_whole(arena_printf(arena, "%s/params.json", dir), params, sizeof params - 1));
    rt_tensors_close(file);
}

Test(published, params_json_with_rows_in_pairs)
{
    static const struct {
        const char *dtype, *mode;
        double bound;
    } runs[] = {
        {"f32",  "prefill", GOLDEN_F32},
        {"f32",  "step",    GOLDEN_F32},
        {"int8", "split",   0.8       },
    };
    Arena *arena = arena_new();
    const char *from = SSMC_ROOT "/tests/goldens/llama-base";
    char *dir = temp_dir();
    write_consolidated(arena, from, dir);
    for (size_t i = 0; i < COUNT_OF(runs); i++) {
        char *err =
            golden_check(dir, golden_of(arena, from),
                         ARGS("--dtype", runs[i].dtype, "--mode", runs[i].mode), runs[i].bound);
        cr_expect_str_eq(err, "");
        free(err);
    }
    temp_dir_remove(dir);
    arena_free(arena);
}

/* ---- trained models -------------------------------------------------------------------------- */

/* Perplexities of transformers in f32 over the first 60000 bytes of a text (training.json beside
 * the models). */
Test(published, perplexities)
{
    enum { BYTES = 60000 };
    static const struct {
        const char *model;
        double nats;
    } trained[] = {
        {"storyteller-transformer", 3.6112466},
        {"storyteller-hybrid",      3.9745324},
    };
    size_t len = 0;
    char *text = read_whole(SSMC_ROOT "/../shared/data/stories-valid.txt", &len);
    if (!text || len < BYTES)
        cr_skip("there is no ../shared/data");
    char *dir = temp_dir(), *first = path_join(dir, "first.txt");
    cr_assert(write_whole(first, text, BYTES));
    for (size_t i = 0; i < COUNT_OF(trained); i++) {
        char *model = path_join(SSMC_ROOT "/../shared/models", trained[i].model);
        CommandResult r = aot_ssmc(
            ARGS("perplexity", model, "--text", first, "--window", "512", "--dtype", "f32"));
        cr_assert_eq(r.status, 0, "%s", r.err);
        const char *at = strstr(r.out, "nats_per_token ");
        cr_assert(at, "%s", r.out);
        const double nats = strtod(at + strlen("nats_per_token "), NULL);
        cr_expect(fabs(nats - trained[i].nats) <= 5e-4, "%s: %g nats a token", trained[i].model,
                  nats);
        command_free(&r);
        free(model);
    }
    temp_dir_remove(dir);
    free(first);
    free(text);
}
