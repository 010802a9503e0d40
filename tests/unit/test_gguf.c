/* tests/unit/test_gguf.c -- GGUF files: models with known logits, every type, files that are wrong.
 * Files are of the gguf package (tests/data/gguf/make.py). */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>

#include <json-c/json.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "frontend/frontend.h"
#include "ir/util.h"
#include "runtime/internal.h"
#include "runtime/rt.h"
#include "tests/golden.h"
#include "tests/harness.h"
#include "tokenizer/tokenizer.h"

#define FOLDER SSMC_ROOT "/tests/data/gguf/"

static void
check_golden(const char *name, double bound)
{
    Arena *arena = arena_new();
    const char *path = arena_printf(arena, FOLDER "%s.gguf", name);
    const char *golden =
        arena_printf(arena, SSMC_ROOT "/tests/goldens/%s/golden.safetensors", name);
    const char *const plain[] = {NULL};
    free(golden_check(path, golden, plain, bound));
    const char *const step[] = {"--mode", "step", NULL};
    free(golden_check(path, golden, step, bound));
    arena_free(arena);
}

static const struct {
    char name[24];
    double bound; /* as in tests/goldens.def */
} models[] = {
    {"llama-base",            GOLDEN_F32},
    {"mamba2-groups",         GOLDEN_F32},
    {"mamba-base",            GOLDEN_F32},
    {"falcon_mamba-base",     GOLDEN_F32},
    {"granitemoehybrid-moe",  GOLDEN_F32},
    {"falcon_h1-multipliers", GOLDEN_F32},
    {"jamba-base",            GOLDEN_F32},
    {"nemotron_h-moe",        GOLDEN_F32},
    {"qwen3_next-base",       9e-4      },
    {"qwen3_5_moe_text-base", GOLDEN_F32},
    {"lfm2-base",             GOLDEN_F32},
    {"lfm2_moe-base",         GOLDEN_F32},
    {"bamba-base",            GOLDEN_F32},
    {"gpt_neox-base",         GOLDEN_F32},
    {"kimi_linear-base",      GOLDEN_F32},
};

ParameterizedTestParameters(gguf, logits)
{
    static size_t cases[COUNT_OF(models)];
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        cases[i] = i;
    return cr_make_param_array(size_t, cases, COUNT_OF(cases));
}

ParameterizedTest(size_t *c, gguf, logits)
{
    check_golden(models[*c].name, models[*c].bound);
}

/* Scaled positions, and architectures that no golden is of: transformers' logits of the same model,
 * whose golden lies beside the file. */
Test(gguf, logits_are_those_of_the_golden_beside)
{
    static const char *const names[] = {"rope-linear", "rope-yarn",     "rope-yarn-said",
                                        "rope-llama3", "granite-dense", "granite",
                                        "mistral3",    "olmo2"};
    const char *const plain[] = {NULL};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        Arena *arena = arena_new();
        char *dir = temp_dir();
        const char *path = arena_printf(arena, FOLDER "%s.gguf", names[i]);
        const char *golden = arena_printf(arena, FOLDER "%s.golden.safetensors", names[i]);
        const char *to = arena_printf(arena, "%s/to", dir);
        const char *const argv[] = {SSMC_BINARY, "convert", path, "-o", to, NULL};
        free(golden_check(path, golden, plain, GOLDEN_F32));
        CommandResult r = command_run(argv, NULL, 0);
        cr_assert_eq(r.status, 0, "%s", r.err);
        command_free(&r);
        free(golden_check(to, golden, plain, GOLDEN_F32));
        temp_dir_remove(dir);
        arena_free(arena);
    }
}

/* It has no rates of decay, and what a layer is called that projects out of it goes by its kind. */
Test(gguf, minimax)
{
    Arena *arena = arena_new();
    char *dir = temp_dir();
    const char *const plain[] = {NULL};
    const char *model = FOLDER "minimax-lightning.gguf", *to = arena_printf(arena, "%s/to", dir);
    const char *golden = SSMC_ROOT "/tests/goldens/minimax-lightning/golden.safetensors";
    const char *const argv[] = {SSMC_BINARY, "convert", model, "-o", to, NULL};
    check_golden("minimax-lightning", GOLDEN_F32);
    CommandResult r = command_run(argv, NULL, 0);
    cr_assert_eq(r.status, 0, "%s", r.err);
    command_free(&r);
    free(golden_check(to, golden, plain, GOLDEN_F32));
    RtTensorFile *file = NULL;
    cr_assert_eq(rt_tensors_open(arena_printf(arena, "%s/model.safetensors", to), &file), SSMC_OK);
    cr_expect(rt_tensors_find(file, "model.layers.0.self_attn.out_proj.weight"));
    cr_expect(rt_tensors_find(file, "model.layers.1.self_attn.o_proj.weight"));
    cr_expect(rt_tensors_find(file, "model.layers.0.block_sparse_moe.experts.3.w2.weight"));
    rt_tensors_close(file);
    temp_dir_remove(dir);
    arena_free(arena);
}

/* A GGUF file becomes a directory, that one another, with the same logits. */
Test(gguf, converts_to_a_checkpoint_and_on)
{
    for (size_t i = 0; i < COUNT_OF(models); i++) {
        Arena *arena = arena_new();
        char *dir = temp_dir();
        const char *from = arena_printf(arena, FOLDER "%s.gguf", models[i].name);
        const char *golden =
            arena_printf(arena, SSMC_ROOT "/tests/goldens/%s/golden.safetensors", models[i].name);
        for (int again = 0; again < 2; again++) {
            const char *to = arena_printf(arena, "%s/%d", dir, again);
            const char *const argv[] = {SSMC_BINARY, "convert", from, "-o", to, NULL};
            const char *const plain[] = {NULL};
            CommandResult r = command_run(argv, NULL, 0);
            cr_assert_eq(r.status, 0, "%s", r.err);
            command_free(&r);
            free(golden_check(to, golden, plain, models[i].bound));
            from = to;
        }
        temp_dir_remove(dir);
        arena_free(arena);
    }
}

static void convert_fails(const char *model, const char *out, const char *says);

/* Every tensor of the golden's checkpoint is written, under its name and of its shape; others of
 * the golden are of heads that predict several tokens, or the embedding once more. */
static void
check_names(const char *dir, const char *golden)
{
    Arena *arena = arena_new();
    RtTensorFile *have = NULL, *want = NULL;
    cr_assert_eq(rt_tensors_open(arena_printf(arena, "%s/model.safetensors", dir), &have), SSMC_OK);
    cr_assert_eq(
        rt_tensors_open(
            arena_printf(arena, SSMC_ROOT "/tests/goldens/%s/model.safetensors", golden), &want),
        SSMC_OK);
    for (int i = 0; i < rt_tensors_count(want); i++) {
        const RtTensor *t = rt_tensors_at(want, i), *own = rt_tensors_find(have, t->name);
        if (!own && (strncmp(t->name, "mtp.", 4) == 0 || strcmp(t->name, "lm_head.weight") == 0))
            continue;
        cr_expect(own && own->rank == t->rank &&
                      memcmp(own->dim, t->dim, (size_t)t->rank * sizeof *t->dim) == 0,
                  "%s: %s", golden, t->name);
    }
    for (int i = 0; i < rt_tensors_count(have); i++)
        cr_expect(rt_tensors_find(want, rt_tensors_at(have, i)->name), "%s: %s is not the golden's",
                  golden, rt_tensors_at(have, i)->name);
    rt_tensors_close(have);
    rt_tensors_close(want);
    arena_free(arena);
}

/* What transformers reads of the checkpoints that these files were made of. */
Test(gguf, converts_to_the_names_of_its_checkpoint)
{
    for (size_t i = 0; i < COUNT_OF(models); i++) {
        Arena *arena = arena_new();
        char *dir = temp_dir();
        const char *to = arena_printf(arena, "%s/to", dir);
        const char *const argv[] = {
            SSMC_BINARY, "convert", arena_printf(arena, FOLDER "%s.gguf", models[i].name),
            "-o",        to,        NULL};
        CommandResult r = command_run(argv, NULL, 0);
        cr_assert_eq(r.status, 0, "%s", r.err);
        command_free(&r);
        check_names(to, models[i].name);
        temp_dir_remove(dir);
        arena_free(arena);
    }
}

static json_object *
converted_json(const char *dir, const char *from, const char *name)
{
    Arena *arena = arena_new();
    const char *const argv[] = {SSMC_BINARY, "convert", from, "-o", dir, NULL};
    CommandResult r = command_run(argv, NULL, 0);
    cr_assert_eq(r.status, 0, "%s", r.err);
    command_free(&r);
    json_object *json = json_object_from_file(arena_printf(arena, "%s/%s", dir, name));
    cr_assert_not_null(json);
    arena_free(arena);
    return json;
}

static const char *
json_text(json_object *of, const char *key)
{
    return json_object_get_string(json_object_object_get(of, key));
}

Test(gguf, converts_what_is_said_of_its_tokenizer)
{
    char *dir = temp_dir(), *a = path_join(dir, "a"), *b = path_join(dir, "b"),
         *c = path_join(dir, "c");
    char *chat = path_join(a, "chat_template.jinja"), *copied = path_join(c, "chat_template.jinja");
    json_object *json = converted_json(a, FOLDER "tokenizer-gpt2.gguf", "tokenizer_config.json");
    static const char template[] =
        "{{ bos_token }}{% for m in messages %}\n\"{{ m['content'] }}\"{% endfor %}";
    size_t len = 0;
    char *text = read_whole(chat, &len);
    cr_assert_not_null(text);
    cr_expect(len == strlen(template) && memcmp(text, template, len) == 0, "%.*s", (int)len, text);
    free(text);
    cr_expect_str_eq(json_text(json, "tokenizer_class"), "PreTrainedTokenizerFast");
    cr_expect_str_eq(json_text(json, "bos_token"), "<s>");
    cr_expect_null(json_object_object_get(json, "chat_template"));
    json_object_put(json);
    json_object_put(converted_json(c, a, "tokenizer_config.json")); /* a directory's stays */
    text = read_whole(copied, &len);
    cr_expect(text && len == strlen(template));
    free(text);
    json = converted_json(b, FOLDER "tokenizer-llama.gguf", "tokenizer_config.json");
    json_object *list = json_object_object_get(json, "chat_template");
    cr_expect_str_eq(json_text(json, "tokenizer_class"), "PreTrainedTokenizerFast");
    cr_assert_eq(json_object_array_length(list), 2);
    cr_expect_str_eq(json_text(json_object_array_get_idx(list, 0), "name"), "tool_use");
    cr_expect_str_eq(json_text(json_object_array_get_idx(list, 0), "template"), "\"two\"\n");
    cr_expect_str_eq(json_text(json_object_array_get_idx(list, 1), "name"), "default");
    cr_expect_str_eq(json_text(json_object_array_get_idx(list, 1), "template"), "one");
    json_object_put(json);
    temp_dir_remove(dir);
    free(a);
    free(b);
    free(c);
    free(chat);
    free(copied);
}

Test(gguf, named_templates_of_a_directory_are_copied)
{
    char *dir = temp_dir(), *to = path_join(dir, "to"), *from = path_join(dir, "from");
    char *chats = path_join(from, "additional_chat_templates"),
         *one = path_join(chats, "rag.jinja");
    char *got = path_join(to, "additional_chat_templates/rag.jinja");
    json_object_put(converted_json(from, FOLDER "tokenizer-gpt2.gguf", "config.json"));
    cr_assert(mkdir(chats, 0777) == 0 && write_whole(one, "{{ x }}", 7));
    json_object_put(converted_json(to, from, "config.json"));
    size_t len = 0;
    char *text = read_whole(got, &len);
    cr_expect(text && len == 7 && memcmp(text, "{{ x }}", 7) == 0);
    convert_fails(from, to, "is there already");
    free(text);
    temp_dir_remove(dir);
    free(to);
    free(from);
    free(chats);
    free(one);
    free(got);
}

static void
convert_fails(const char *model, const char *out, const char *says)
{
    const char *const argv[] = {SSMC_BINARY, "convert", model, out ? "-o" : NULL, out, NULL};
    CommandResult r = command_run(argv, NULL, 0);
    cr_expect_neq(r.status, 0);
    cr_expect(strstr(r.err, says), "expected \"%s\" in: %s", says, r.err);
    command_free(&r);
}

Test(gguf, convert_says_what_it_cannot_do)
{
    char *dir = temp_dir(), *config = path_join(dir, "config.json");
    convert_fails(FOLDER "mamba-base.gguf", NULL, "which model, and where to?");
    convert_fails(SSMC_ROOT "/examples/storyteller.yaml", dir,
                  "is neither a checkpoint's directory nor a GGUF file");
    convert_fails(FOLDER "mamba-base.gguf", "/nonexistent/x", "cannot make /nonexistent/x");
    cr_assert(write_whole(config, "{}", 2));
    convert_fails(FOLDER "mamba-base.gguf", dir, "config.json is there already");
    free(config);
    char *other = path_join(dir, "b"), *text = path_join(other, "generation_config.json");
    cr_assert(mkdir(other, 0777) == 0 && write_whole(text, "{}", 2));
    convert_fails(SSMC_ROOT "/tests/goldens/mamba2-base", other,
                  "generation_config.json is there already");
    free(text);
    free(other);
    temp_dir_remove(dir);
}

/* A directory that was there stays, and one that was not is not made. */
Test(gguf, a_conversion_that_fails_leaves_nothing)
{
    char *dir = temp_dir(), *model = path_join(dir, "m-00001-of-00002.gguf");
    char *fresh = path_join(dir, "fresh"), *there = path_join(dir, "there");
    size_t len = 0;
    char *bytes = read_whole(FOLDER "parts-00001-of-00003.gguf", &len);
    cr_assert(bytes && write_whole(model, bytes, len) && mkdir(there, 0777) == 0);
    convert_fails(model, fresh, "its name must end with -00001-of-00003.gguf");
    cr_expect_neq(access(fresh, F_OK), 0);
    convert_fails(model, there, "its name must end with -00001-of-00003.gguf");
    cr_expect_eq(rmdir(there), 0, "it is not empty");
    free(bytes);
    free(there);
    free(fresh);
    free(model);
    temp_dir_remove(dir);
}

/* Beside each tensor with blocks stands what the gguf package makes of it, bit for bit. */
Test(gguf, every_type_is_what_the_package_makes_of_it)
{
    ssmc_weights *file = NULL;
    cr_assert_eq(rt_weights_open(FOLDER "types.gguf", &file), SSMC_OK, "%s", ssmc_error());
    int compared = 0;
    for (int i = 0; i < rt_weights_count(file); i++) {
        const RtTensor *t = rt_weights_at(file, i);
        char name[64];
        snprintf(name, sizeof name, "%s.F32", t->name);
        const RtTensor *want = rt_weights_find(file, name);
        if (!want)
            continue;
        cr_expect_str_eq(t->dtype, "F32");
        cr_expect(t->rank == 2 && t->dim[0] == want->dim[0] && t->dim[1] == want->dim[1]);
        const void *data = rt_weights_whole(file, t);
        cr_expect(t->bytes == want->bytes && memcmp(data, want->data, t->bytes) == 0, "%s",
                  t->name);
        compared++;
    }
    cr_expect_eq(compared, 8);
    rt_weights_close(file);
}

/* A file in blocks, and how far the logits of what runs it as it is may be off those of what it
 * stands for in f32: about three times what was measured, which 8-bit activations make. */
static const struct {
    const char *name, *ids;
    double bound;
} in_blocks[] = {
    {"llama-base-Q8_0",            "llama-base",            0.6},
    {"llama-base-Q4_0",            "llama-base",            0.6},
    {"llama-base-Q4_1",            "llama-base",            0.6},
    {"llama-Q4_K_M",               "llama-base",            0.2},
    {"llama-mixed",                "llama-base",            0.2},
    {"qwen3_5_moe_text-base-Q8_0", "qwen3_5_moe_text-base", 12 }, /* as int8 in goldens.def */
    {"qwen3_next-base-Q8_0",       "qwen3_next-base",       14 },
};

static void
run_logits(const char *model, const char *ids, const char *out, const char *dtype, const char *says)
{
    const char *const argv[] = {SSMC_BINARY, "logits", model, "--ids",
                                ids,         "--out",  out,   dtype ? "--dtype" : NULL,
                                dtype,       NULL};
    CommandResult r = command_run(argv, NULL, 0);
    cr_assert_eq(r.status, 0, "%s: %s", model, r.err);
    cr_expect(strstr(r.err, says), "expected \"%s\" in: %s", says, r.err);
    command_free(&r);
}

Test(gguf, blocks_run_as_they_are_and_as_f32_where_that_is_asked)
{
    for (size_t i = 0; i < COUNT_OF(in_blocks); i++) {
        Arena *arena = arena_new();
        char *dir = temp_dir();
        const char *model = arena_printf(arena, FOLDER "%s.gguf", in_blocks[i].name);
        const char *ids =
            arena_printf(arena, SSMC_ROOT "/tests/goldens/%s/golden.safetensors", in_blocks[i].ids);
        const char *to = arena_printf(arena, "%s/model", dir);
        const char *out[3];
        for (int k = 0; k < 3; k++)
            out[k] = arena_printf(arena, "%s/%d.safetensors", dir, k);
        const char *const convert[] = {SSMC_BINARY, "convert", model, "-o", to, NULL};
        CommandResult r = command_run(convert, NULL, 0);
        cr_assert_eq(r.status, 0, "%s", r.err);
        cr_expect(strstr(r.err, "are written as f32"), "%s", r.err);
        command_free(&r);
        run_logits(to, ids, out[0], "f32", "");
        run_logits(model, ids, out[1], "f32", "store quantised blocks: they are read as f32");
        run_logits(model, ids, out[2], NULL, "as they are, by 8-bit activations; --dtype f32");
        golden_compare(out[1], out[0], 0, in_blocks[i].name);
        golden_compare(out[2], out[0], in_blocks[i].bound, in_blocks[i].name);
        temp_dir_remove(dir);
        arena_free(arena);
    }
}

/* A library finds the scales of blocks, of several tensors too, when it opens the file. */
Test(gguf, a_library_reads_blocks)
{
    char *dir = temp_dir(), *library = path_join(dir, "m.so");
    char *out = path_join(dir, "a.safetensors"), *other = path_join(dir, "b.safetensors");
    const char *model = FOLDER "llama-mixed.gguf";
    const char *ids = SSMC_ROOT "/tests/goldens/llama-base/golden.safetensors";
    const char *const argv[] = {SSMC_BINARY, "compile", model, "--emit", "so", "-o", library, NULL};
    CommandResult r = command_run(argv, NULL, 0);
    cr_assert_eq(r.status, 0, "%s", r.err);
    command_free(&r);
    run_logits(library, ids, out, NULL, "");
    run_logits(model, ids, other, NULL, "");
    golden_compare(out, other, 0, "of a library");
    free(other);
    free(out);
    free(library);
    temp_dir_remove(dir);
}

/* Tensors of several types that are one weight elsewhere keep their blocks. */
Test(gguf, blocks_of_several_types_are_multiplied_apart)
{
    static const char *const has[] = {
        "weight layers.0.attention.qkv_proj.weight.0: f32[384,256]",
        "weight layers.0.attention.qkv_proj.weight.384: f32[128,256]",
        "weight layers.0.mlp.gate_up.weight.0: f32[256,256]",
        "weight layers.0.mlp.gate_up.weight.256: f32[256,256]",
        "qkv_proj.weight.0.minima: f32[384,8]",
        "split(t8) {sizes=[256, 128]}",
    };
    const char *const argv[] = {SSMC_BINARY,    "compile",  FOLDER "llama-mixed.gguf",
                                "--stop-after", "quantise", NULL};
    CommandResult r = command_run(argv, NULL, 0);
    cr_assert_eq(r.status, 0, "%s", r.err);
    for (size_t i = 0; i < COUNT_OF(has); i++)
        cr_expect(strstr(r.out, has[i]), "expected \"%s\" in: %s", has[i], r.out);
    cr_expect_null(strstr(r.out, "qkv_proj.weight: "), "%s", r.out);
    cr_expect_null(strstr(r.out, "blocks=other"), "%s", r.out);
    cr_expect_null(strstr(r.err, "no kernel multiplies"), "%s", r.err);
    command_free(&r);
}

Test(gguf, blocks_that_no_kernel_multiplies_are_said)
{
    char *dir = temp_dir(), *out = path_join(dir, "o.safetensors");
    const char *ids = SSMC_ROOT "/tests/goldens/llama-base/golden.safetensors";
    run_logits(FOLDER "llama-Q4_K_M.gguf", ids, out, NULL,
               "1 projections have weights in blocks that no kernel multiplies");
    free(out);
    temp_dir_remove(dir);
}

/* ---- tokenizers ----------------------------------------------------------------------------- */

typedef struct {
    Arena *arena;
    Diag *diag;
    Tokenizer *plain, *inside;
} Pair;

/* The tokenizer in a GGUF file, and the one that it was made of. */
static Pair
open_pair(const char *gguf, const char *plain, const char *from, const char *to)
{
    Pair p = {arena_new(), diag_new(), NULL, NULL};
    size_t len = 0;
    char *bytes = NULL, *whole = read_whole(plain, &len);
    cr_assert(whole);
    char *changed = from ? text_replace(whole, from, to) : NULL;
    p.plain = changed ? tok_parse(p.arena, changed, strlen(changed), plain, p.diag)
                      : tok_parse(p.arena, whole, len, plain, p.diag);
    StrBuf said = {0};
    if (fe_gguf_tokenizer(p.arena, gguf, p.diag, &bytes, &len))
        p.inside = tok_parse(p.arena, bytes, len, gguf, p.diag);
    diag_print(p.diag, &said);
    cr_assert(p.plain && p.inside, "%s", sb_text(&said));
    sb_free(&said);
    free(changed);
    free(whole);
    return p;
}

/* It begins with the token of the beginning, and has the same ids then. */
static void
check_pair(Pair p, int32_t first, bool control)
{
    json_object *texts = json_object_from_file(SSMC_ROOT "/tests/data/tokenizers/texts.json");
    int compared = 0, wrong = 0;
    for (size_t i = 0; i < json_object_array_length(texts); i++) {
        json_object *item = json_object_array_get_idx(texts, i);
        const char *text = json_object_get_string(item);
        const size_t len = (size_t)json_object_get_string_len(item);
        int32_t *want = NULL, *ids = NULL;
        size_t nwant = 0, count = 0, bad = 0;
        if (!control && (strstr(text, "<s>") || strstr(text, "</s>")))
            continue; /* SentencePiece itself takes them for text */
        cr_assert(tok_encode(p.plain, text, len, &want, &nwant, &bad));
        cr_assert(tok_encode(p.inside, text, len, &ids, &count, &bad));
        const bool same = count == nwant + 1 && ids[0] == first &&
                          (!nwant || memcmp(ids + 1, want, nwant * sizeof *ids) == 0);
        if (!same && wrong++ < 5)
            cr_expect(false, "text %zu: %s", i, json_object_to_json_string(item));
        compared++;
        free(want);
        free(ids);
    }
    cr_expect_eq(wrong, 0, "%d", wrong);
    cr_expect_gt(compared, 1500);
    json_object_put(texts);
    tok_free(p.plain);
    tok_free(p.inside);
    diag_free(p.diag);
    arena_free(p.arena);
}

#define TOKENIZERS SSMC_ROOT "/tests/data/tokenizers/"

Test(gguf, byte_level_tokenizer_inside)
{
    check_pair(open_pair(FOLDER "tokenizer-gpt2.gguf", TOKENIZERS "byte_level.json",
                         "\"normalizer\":{\"type\":\"NFC\"}", "\"normalizer\":null"),
               0, true);
}

Test(gguf, sentencepiece_tokenizer_inside)
{
    Pair p = open_pair(FOLDER "tokenizer-llama.gguf", TOKENIZERS "bpe.model", NULL, NULL);
    int32_t *ids = NULL;
    size_t count = 0, bad = 0;
    cr_assert(tok_encode(p.inside, "</s>", 4, &ids, &count, &bad));
    cr_expect(count == 2 && ids[0] == 1 && ids[1] == 2);
    free(ids);
    check_pair(p, 1, false);
}

/* The tokenizer.json that is written beside tokenizer.model gives its ids, with control tokens in
 * the texts, too. */
Test(gguf, pieces_as_a_tokenizer_json)
{
    Pair p = {arena_new(), diag_new(), NULL, NULL};
    char *bytes = NULL, *json = NULL;
    size_t len = 0, json_len = 0;
    const char *path = FOLDER "tokenizer-llama.gguf";
    cr_assert(fe_gguf_tokenizer(p.arena, path, p.diag, &bytes, &len));
    cr_assert(fe_gguf_pieces(p.arena, path, p.diag, &json, &json_len) && json);
    Tokenizer *model = tok_parse(p.arena, bytes, len, "tokenizer.model", p.diag);
    Tokenizer *own = tok_parse(p.arena, json, json_len, "tokenizer.json", p.diag);
    StrBuf said = {0};
    diag_print(p.diag, &said);
    cr_assert(model && own, "%s", sb_text(&said));
    sb_free(&said);
    json_object *texts = json_object_from_file(SSMC_ROOT "/tests/data/tokenizers/texts.json");
    int wrong = 0;
    for (size_t i = 0; i < json_object_array_length(texts); i++) {
        json_object *item = json_object_array_get_idx(texts, i);
        int32_t *want = NULL, *ids = NULL;
        size_t nwant = 0, count = 0, bad = 0;
        const char *text = json_object_get_string(item);
        const size_t text_len = (size_t)json_object_get_string_len(item);
        cr_assert(tok_encode(model, text, text_len, &want, &nwant, &bad));
        cr_assert(tok_encode(own, text, text_len, &ids, &count, &bad));
        if ((count != nwant || memcmp(ids, want, count * sizeof *ids) != 0) && wrong++ < 5)
            cr_expect(false, "text %zu: %s", i, json_object_to_json_string(item));
        free(want);
        free(ids);
    }
    cr_expect_eq(wrong, 0, "%d", wrong);
    json_object_put(texts);
    tok_free(model);
    tok_free(own);
    diag_free(p.diag);
    arena_free(p.arena);
}

/* ---- files made here ----------------------------------------------------------------------- */

static void
put(StrBuf *b, uint64_t n, int bytes)
{
    for (int i = 0; i < bytes; i++) {
        const char c = (char)(n >> 8 * i & 0xFF);
        sb_putn(b, &c, 1);
    }
}

static void
put_text(StrBuf *b, const char *text)
{
    put(b, strlen(text), 8);
    sb_puts(b, text);
}

enum { U32 = 4, FLOAT = 6, STRING = 8, ARRAY = 9 };

static StrBuf
header(uint32_t version, uint64_t tensors, uint64_t keys)
{
    StrBuf b = {0};
    sb_puts(&b, "GGUF");
    put(&b, version, 4);
    put(&b, tensors, 8);
    put(&b, keys, 8);
    return b;
}

static void
put_arch(StrBuf *b, const char *arch)
{
    put_text(b, "general.architecture");
    put(b, STRING, 4);
    put_text(b, arch);
}

static void
put_number(StrBuf *b, const char *key, uint32_t n)
{
    put_text(b, key);
    put(b, U32, 4);
    put(b, n, 4);
}

static void
put_float(StrBuf *b, const char *key, float x)
{
    put_text(b, key);
    put(b, FLOAT, 4);
    sb_putn(b, (const char *)&x, sizeof x);
}

static void
put_numbers(StrBuf *b, const char *key, uint64_t count, uint32_t n)
{
    put_text(b, key);
    put(b, ARRAY, 4);
    put(b, U32, 4);
    put(b, count, 8);
    for (uint64_t i = 0; i < count; i++)
        put(b, n, 4);
}

/* A tensor [rows, columns]. */
static void
put_tensor(StrBuf *b, const char *name, uint64_t rows, uint64_t columns, uint32_t type,
           uint64_t offset)
{
    put_text(b, name);
    put(b, 2, 4);
    put(b, columns, 8);
    put(b, rows, 8);
    put(b, type, 4);
    put(b, offset, 8);
}

static void
pad(StrBuf *b, size_t data)
{
    while (b->len % 32)
        put(b, 0, 1);
    for (size_t i = 0; i < data; i++)
        put(b, 0x3C, 1); /* positive numbers */
}

static void
check_refused(StrBuf *b, const char *says)
{
    RtTensorFile *file = NULL;
    const ssmc_status status = rt_tensors_from(sb_text(b), b->len, "f.gguf", &file);
    cr_expect_eq(status, SSMC_BAD_FILE, "taken, expected: %s", says);
    cr_expect(status == SSMC_OK || strstr(ssmc_error(), says), "expected \"%s\" in: %s", says,
              ssmc_error());
    if (status == SSMC_OK)
        rt_tensors_close(file);
    sb_free(b);
}

Test(gguf, refuses_headers_that_are_wrong)
{
    StrBuf b = header(1, 0, 0);
    check_refused(&b, "GGUF of version 1, expected 2 or 3");
    b = header(0x03000000, 0, 0);
    check_refused(&b, "(big-endian?)");
    b = header(3, UINT64_MAX, 0);
    check_refused(&b, "tensors, which do not fit into its 0 bytes");
    b = header(3, 0, 1);
    check_refused(&b, "it says 1 key-values and 0 tensors, which do not fit");
    b = header(3, 0, 0);
    check_refused(&b, "it has no general.architecture");
    b = (StrBuf){0};
    sb_puts(&b, "GGUF\3");
    check_refused(&b, "it is cut off in its header");
}

Test(gguf, refuses_key_values_that_are_wrong)
{
    StrBuf b = header(3, 0, 1);
    put(&b, UINT64_MAX, 8);
    pad(&b, 32);
    check_refused(&b, "it is cut off in a key-value");
    b = header(3, 0, 1);
    put_text(&b, "some.key");
    put(&b, 77, 4);
    pad(&b, 32);
    check_refused(&b, "key 'some.key' has a value of kind 77, which there is not");
    b = header(3, 0, 1);
    put_text(&b, "some.key");
    put(&b, ARRAY, 4);
    put(&b, U32, 4);
    put(&b, UINT64_MAX / 4 + 1, 8);
    pad(&b, 32);
    check_refused(&b, "it is cut off in a key-value");
    b = header(3, 0, 1);
    put_text(&b, "some.key");
    put(&b, ARRAY, 4);
    put(&b, ARRAY, 4);
    put(&b, 0, 8);
    check_refused(&b, "key 'some.key' is an array of arrays");
    b = header(3, 0, 1);
    put_arch(&b, "bert");
    check_refused(
        &b, "its general.architecture is 'bert'; GGUF files are read of llama, mamba2, mamba");
    static const uint32_t alignments[] = {0, 4, 48, 1u << 21};
    for (size_t i = 0; i < COUNT_OF(alignments); i++) {
        b = header(3, 0, 2);
        put_arch(&b, "llama");
        put_number(&b, "general.alignment", alignments[i]);
        check_refused(&b, "general.alignment is no power of two from 8 to");
    }
    b = header(3, 0, 2);
    put_arch(&b, "llama");
    put_number(&b, "split.count", 3);
    check_refused(
        &b, "it is the first of 3 files, so that its name must end with -00001-of-00003.gguf");
    b = header(3, 0, 3);
    put_arch(&b, "llama");
    put_number(&b, "split.no", 1);
    put_number(&b, "split.count", 3);
    check_refused(&b, "it is part 2 of 3; give the first");
    b = header(3, 0, 2);
    put_arch(&b, "llama");
    put_number(&b, "split.count", 100000);
    check_refused(&b, "it is part 1 of 100000; give the first");
}

Test(gguf, refuses_tensors_that_are_wrong)
{
    static const struct {
        uint64_t rows, columns;
        uint32_t type;
        uint64_t offset;
        const char *name, *says;
    } rows[] = {
        {4,             8,         99, 0,               "x",
         "tensor 'x' is of GGML type 99, which ssmc does not read; it reads F32 F16"                                                         },
        {4,             8,         0,  8,               "x",                   "tensor 'x' does not start where the file's alignment lets it"},
        {4,             8,         0,  32,              "x",                   "tensor 'x' ends behind the file"                             },
        {4,             8,         0,  UINT64_MAX - 31, "x",                   "tensor 'x' ends behind the file"                             },
        {4,             9,         0,  0,               "x",                   "tensor 'x' ends behind the file"                             },
        {4,             8,         8,  0,               "x",                   "tensor 'x' has rows that are not whole blocks"               },
        {UINT64_MAX,    8,         0,  0,               "x",                   "tensor 'x' has a dimension larger than any"                  },
        {INT64_MAX,     INT64_MAX, 0,  0,               "x",                   "tensor 'x' is larger than memory can be"                     },
        {INT64_MAX / 2, 2,         28, 0,               "x",                   "tensor 'x' is larger than memory can be"                     },
        {4,             8,         0,  0,               "",                    "has a name that is none"                                     },
        {4,             8,         0,  0,               "blk.0.attn_q.weight", "llama.attention.head_count is no number of heads"            },
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        StrBuf b = header(3, 1, 1);
        put_arch(&b, "llama");
        put_tensor(&b, rows[i].name, rows[i].rows, rows[i].columns, rows[i].type, rows[i].offset);
        pad(&b, 128);
        check_refused(&b, rows[i].says);
    }
    StrBuf b = header(3, 1, 1);
    put_arch(&b, "llama");
    put_text(&b, "x");
    put(&b, 5, 4);
    pad(&b, 64);
    check_refused(&b, "tensor 'x' has more than 4 dimensions");
    b = header(3, 2, 1);
    put_arch(&b, "llama");
    put_tensor(&b, "x", 4, 8, 0, 0);
    put_tensor(&b, "x", 4, 8, 0, 0);
    pad(&b, 128);
    check_refused(&b, "tensor 'x' is there twice");
    b = header(3, 1, 2);
    put_arch(&b, "llama");
    put_number(&b, "llama.attention.head_count", 3);
    put_tensor(&b, "blk.0.attn_q.weight", 4, 8, 0, 0);
    pad(&b, 128);
    check_refused(
        &b, "has 4 rows, which are no even number for each of llama.attention.head_count = 3");
    b = header(3, 1, 1);
    put_arch(&b, "mamba2");
    put_tensor(&b, "blk.0.ssm_a", 32, 1, 0, 0);
    pad(&b, 128);
    check_refused(&b, "A_log', a state's decay, has a value that is not below 0");
    b = header(3, 1, 1);
    put_arch(&b, "qwen3next");
    put_tensor(&b, "output_norm.weight", 1, 32, 8, 0);
    pad(&b, 64);
    check_refused(&b, "tensor 'model.norm.weight' is Q8_0; expected F32, F16, BF16 or F64");
    static const uint64_t neox[][2] = {
        {64, 4 },
        {96, 0 },
        {96, 64}
    };
    for (size_t i = 0; i < COUNT_OF(neox); i++) {
        b = header(3, 1, 2);
        put_arch(&b, "gptneox");
        put_number(&b, "gptneox.attention.head_count", (uint32_t)neox[i][1]);
        put_tensor(&b, "blk.0.attn_qkv.weight", neox[i][0], 1, 0, 0);
        pad(&b, 384);
        check_refused(&b, "query_key_value.weight' has ");
    }
    b = header(3, 1, 1);
    put_arch(&b, "kimi-linear");
    put_text(&b, "blk.0.attn_k_b.weight");
    put(&b, 1, 4);
    put(&b, 8, 8);
    put(&b, 0, 4);
    put(&b, 0, 8);
    pad(&b, 32);
    check_refused(&b, "k_b_proj.weight' is a vector; expected matrices");
    b = header(3, 1, 2); /* no layer has keys */
    put_arch(&b, "granitehybrid");
    put_numbers(&b, "granitehybrid.attention.head_count_kv", 3, 0);
    put_tensor(&b, "blk.0.attn_k.weight", 4, 8, 0, 0);
    pad(&b, 128);
    check_refused(&b, "granitehybrid.attention.head_count_kv is no number of heads");
}

static void
put_values(StrBuf *b, uint32_t key_heads, uint32_t value_heads, uint32_t inner, uint32_t state)
{
    *b = header(3, 1, 5);
    put_arch(b, "qwen35");
    put_number(b, "qwen35.ssm.group_count", key_heads);
    put_number(b, "qwen35.ssm.time_step_rank", value_heads);
    put_number(b, "qwen35.ssm.inner_size", inner);
    put_number(b, "qwen35.ssm.state_size", state);
}

/* Two key heads of 3, of two value heads of 2 each. */
Test(gguf, refuses_value_heads_that_do_not_fit)
{
    static const uint32_t wrong[][3] = {
        {0, 4, 8         },
        {3, 4, 8         },
        {2, 0, 8         },
        {2, 4, 9         },
        {2, 4, 0         },
        {4, 2, UINT32_MAX}
    };
    StrBuf b;
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        put_values(&b, wrong[i][0], wrong[i][1], wrong[i][2], 3);
        put_tensor(&b, "blk.0.attn_gate.weight", 8, 4, 0, 0);
        pad(&b, 128);
        check_refused(&b, "qwen35.ssm.group_count, time_step_rank and inner_size do not fit");
    }
    static const struct {
        const char *name, *says;
        uint32_t state, rows, columns;
    } shapes[] = {
        {"blk.0.attn_gate.weight", "in_proj_z.weight' has 7 rows",    3,          7,  4 },
        {"blk.0.attn_qkv.weight",  "in_proj_qkv.weight' has 21 rows", 3,          21, 4 },
        {"blk.0.attn_qkv.weight",  "in_proj_qkv.weight' has 20 rows", UINT32_MAX, 20, 4 },
        {"blk.0.ssm_out.weight",   "out_proj.weight' has 20 columns", 3,          4,  20},
    };
    for (size_t i = 0; i < COUNT_OF(shapes); i++) {
        StrBuf says = {0};
        sb_printf(&says, "%s, which are not those of 4 value heads", shapes[i].says);
        put_values(&b, 2, 4, 8, shapes[i].state);
        put_tensor(&b, shapes[i].name, shapes[i].rows, shapes[i].columns, 0, 0);
        pad(&b, 352);
        check_refused(&b, sb_text(&says));
        sb_free(&says);
    }
}

/* Two matrices [3,32] of keys, in blocks of Q8_0 and in F16, whose columns are rows here. */
Test(gguf, keys_of_latents_are_turned)
{
    enum { STACK = 2, ROWS = 3, COLUMNS = 32, F16 = 1, Q8_0 = 8 };
    for (int blocks = 0; blocks < 2; blocks++) {
        StrBuf b = header(3, 1, 1);
        put_arch(&b, "kimi-linear");
        put_text(&b, "blk.0.attn_k_b.weight");
        put(&b, 3, 4);
        put(&b, COLUMNS, 8);
        put(&b, ROWS, 8);
        put(&b, STACK, 8);
        put(&b, blocks ? Q8_0 : F16, 4);
        put(&b, 0, 8);
        pad(&b, 0);
        for (unsigned i = 0; i < STACK * ROWS; i++) {
            if (blocks)
                put(&b, 0x3C00, 2); /* a scale of 1 */
            for (unsigned k = 0; k < COLUMNS; k++)
                put(&b, blocks ? 16 * i + k : 0x100 * i + k, blocks ? 1 : 2);
        }
        RtTensorFile *file = NULL;
        cr_assert_eq(rt_tensors_from(sb_text(&b), b.len, "f.gguf", &file), SSMC_OK, "%s",
                     ssmc_error());
        const RtTensor *t = rt_tensors_find(file, "model.layers.0.self_attn.k_b_proj.weight");
        cr_assert(t && t->rank == 3 && t->dim[0] == STACK && t->dim[1] == COLUMNS &&
                  t->dim[2] == ROWS);
        cr_expect_str_eq(t->dtype, blocks ? "F32" : "F16");
        for (int h = 0; h < STACK; h++)
            for (int k = 0; k < COLUMNS; k++)
                for (int r = 0; r < ROWS; r++) {
                    const int at = (h * COLUMNS + k) * ROWS + r, row = h * ROWS + r;
                    if (blocks)
                        cr_expect_eq((int)((const float *)t->data)[at], (int8_t)(16 * row + k));
                    else
                        cr_expect_eq(((const uint16_t *)t->data)[at], 0x100 * row + k);
                }
        rt_tensors_close(file);
        sb_free(&b);
    }
}

/* What the layers behind the model's are for is no part of it. */
Test(gguf, leaves_heads_out_that_predict_several_tokens)
{
    static const struct {
        const char *there, *here;
    } names[] = {
        {"blk.1.attn_norm.weight", "model.layers.1.input_layernorm.weight"},
        {"blk.2.attn_norm.weight", "mtp.blk.2.attn_norm.weight"           },
        {"blk.2.nextn.enorm.bias", "mtp.blk.2.nextn.enorm.bias"           },
        {"output.weight",          "lm_head.weight"                       },
    };
    StrBuf b = header(3, COUNT_OF(names), 3);
    put_arch(&b, "qwen35");
    put_number(&b, "qwen35.block_count", 3);
    put_number(&b, "qwen35.nextn_predict_layers", 1);
    for (size_t i = 0; i < COUNT_OF(names); i++)
        put_tensor(&b, names[i].there, 1, 8, 0, 0);
    pad(&b, 32);
    RtTensorFile *file = NULL;
    cr_assert_eq(rt_tensors_from(sb_text(&b), b.len, "f.gguf", &file), SSMC_OK, "%s", ssmc_error());
    for (size_t i = 0; i < COUNT_OF(names); i++)
        cr_expect(rt_tensors_find(file, names[i].here), "%s", names[i].here);
    rt_tensors_close(file);
    char *dir = temp_dir(), *path = path_join(dir, "m.gguf");
    cr_assert(write_whole(path, sb_text(&b), b.len));
    Arena *arena = arena_new();
    Diag *diag = diag_new();
    char *text = NULL;
    size_t len = 0;
    bool tokenizer;
    cr_assert(fe_gguf_config(arena, path, diag, &text, &len, &tokenizer));
    cr_expect(strstr(text, "\"num_hidden_layers\": 2"), "%s", text);
    cr_expect(strstr(text, "\"layer_types\": [\"linear_attention\", \"linear_attention\"]"), "%s",
              text);
    diag_free(diag);
    arena_free(arena);
    free(path);
    temp_dir_remove(dir);
    sb_free(&b);
}

/* A whole file, cut off everywhere, is refused, or has all that it says. */
Test(gguf, refuses_a_file_cut_off_anywhere)
{
    size_t len = 0;
    char *bytes = read_whole(FOLDER "types.gguf", &len);
    cr_assert(bytes);
    for (size_t n = 0; n < len; n += n < 1500 ? 1 : 997) {
        RtTensorFile *file = NULL;
        char *copy = malloc(n + 1); /* so that what is read behind it shows */
        cr_assert(copy);
        memcpy(copy, bytes, n);
        cr_expect_neq(rt_tensors_from(copy, n, "f.gguf", &file), SSMC_OK, "%zu bytes", n);
        rt_tensors_close(file);
        free(copy);
    }
    free(bytes);
}

/* ---- files in parts ------------------------------------------------------------------------- */

/* A part with a tensor [1,8], whose numbers are all of one kind. */
static void
write_part(const char *dir, const char *file, int64_t no, uint32_t count, const char *tensor)
{
    char *path = path_join(dir, file);
    StrBuf b = header(3, 1, no < 0 ? 2 : 3);
    if (no <= 0)
        put_arch(&b, "llama");
    else
        put_number(&b, "split.tensors.count", 2);
    put_number(&b, "split.count", count);
    if (no >= 0)
        put_number(&b, "split.no", (uint32_t)no);
    put_tensor(&b, tensor, 1, 8, 0, 0);
    pad(&b, 32);
    cr_assert(write_whole(path, sb_text(&b), b.len));
    sb_free(&b);
    free(path);
}

static void
check_parts(const char *dir, const char *says)
{
    RtTensorFile *file = NULL;
    char *path = path_join(dir, "m-00001-of-00002.gguf");
    cr_expect_neq(rt_tensors_open(path, &file), SSMC_OK);
    cr_expect(strstr(ssmc_error(), says), "expected \"%s\" in: %s", says, ssmc_error());
    rt_tensors_close(file);
    free(path);
}

Test(gguf, parts_must_be_those_that_the_first_names)
{
    char *dir = temp_dir();
    write_part(dir, "m-00001-of-00002.gguf", 0, 2, "a");
    check_parts(dir, "m-00002-of-00002.gguf");
    write_part(dir, "m-00002-of-00002.gguf", 0, 2, "b");
    check_parts(dir, "m-00002-of-00002.gguf: it does not say that it is part 2 of 2");
    write_part(dir, "m-00002-of-00002.gguf", 1, 3, "b");
    check_parts(dir, "m-00002-of-00002.gguf: it does not say that it is part 2 of 2");
    write_part(dir, "m-00002-of-00002.gguf", 1, 2, "a");
    check_parts(dir, "tensor 'a' is there twice");
    write_part(dir, "m-00002-of-00002.gguf", 1, 2, "b");
    RtTensorFile *file = NULL;
    char *path = path_join(dir, "m-00001-of-00002.gguf"),
         *other = path_join(dir, "m-00002-of-00002.gguf");
    cr_assert_eq(rt_tensors_open(path, &file), SSMC_OK, "%s", ssmc_error());
    cr_expect_eq(rt_tensors_count(file), 2);
    cr_expect_float_eq(*(const float *)rt_tensors_find(file, "b")->data, 0.0115, 1e-4);
    const uint64_t identity = rt_tensors_identity(file);
    rt_tensors_close(file);
    file = NULL;
    size_t len = 0;
    char *bytes = read_whole(other, &len);
    cr_assert(bytes);
    for (size_t n = 0; n < len; n++) {
        cr_assert(write_whole(other, bytes, n));
        cr_expect_neq(rt_tensors_open(path, &file), SSMC_OK, "%zu bytes", n);
    }
    bytes[len - 1]++;
    cr_assert(write_whole(other, bytes, len));
    cr_assert_eq(rt_tensors_open(path, &file), SSMC_OK, "%s", ssmc_error());
    cr_expect_neq(rt_tensors_identity(file), identity);
    rt_tensors_close(file);
    free(bytes);
    free(path);
    free(other);
    temp_dir_remove(dir);
}

Test(gguf, a_model_in_parts_is_the_model)
{
    Arena *arena = arena_new();
    const char *path = FOLDER "parts-00001-of-00003.gguf";
    const char *golden = SSMC_ROOT "/tests/goldens/lfm2-base/golden.safetensors";
    const char *const plain[] = {NULL};
    free(golden_check(path, golden, plain, GOLDEN_F32));
    char *dir = temp_dir();
    const char *to = arena_printf(arena, "%s/m", dir);
    const char *const argv[] = {SSMC_BINARY, "convert", path, "-o", to, NULL};
    CommandResult r = command_run(argv, NULL, 0);
    cr_assert_eq(r.status, 0, "%s", r.err);
    command_free(&r);
    free(golden_check(to, golden, plain, GOLDEN_F32));
    const char *const second[] = {SSMC_BINARY, "import", FOLDER "parts-00002-of-00003.gguf", NULL};
    r = command_run(second, NULL, 0);
    cr_expect_neq(r.status, 0);
    cr_expect(strstr(r.err, "it is part 2 of 3; give the first"), "%s", r.err);
    command_free(&r);
    temp_dir_remove(dir);
    arena_free(arena);
}

/* ---- models that cannot be described -------------------------------------------------------- */

static void
check_command(StrBuf *b, const char *says)
{
    char *dir = temp_dir(), *path = path_join(dir, "m.gguf");
    cr_assert(write_whole(path, sb_text(b), b->len));
    const char *const argv[] = {SSMC_BINARY, "import", path, NULL};
    CommandResult run = command_run(argv, NULL, 0);
    cr_expect_neq(run.status, 0);
    cr_expect(strstr(run.err, says), "expected \"%s\" in: %s", says, run.err);
    command_free(&run);
    free(path);
    temp_dir_remove(dir);
    sb_free(b);
}

Test(gguf, says_what_it_cannot_describe)
{
    StrBuf b = header(3, 0, 1);
    put_arch(&b, "bert");
    check_command(
        &b, "its general.architecture is 'bert'; GGUF files are read of llama, mamba2, mamba");
    b = header(3, 0, 1);
    put_arch(&b, "llama");
    check_command(&b, "vocab_size");
    b = header(3, 1, 2);
    put_arch(&b, "llama");
    put_text(&b, "tokenizer.ggml.tokens");
    put(&b, ARRAY, 4);
    put(&b, STRING, 4);
    put(&b, 2, 8);
    put_text(&b, "a");
    put_text(&b, "b");
    put_tensor(&b, "token_embd.weight", 1, 8, 0, 0);
    pad(&b, 32);
    check_command(&b, "its tokenizer has 2 tokens, but its embedding (token_embd.weight) 1 rows");
    b = header(3, 0, 2);
    put_arch(&b, "llama");
    put_number(&b, "llama.expert_count", 8);
    check_command(&b, "llama.expert_count is 8: mixtures of experts are not read from GGUF files");
    b = header(3, 0, 2);
    put_arch(&b, "mistral3");
    put_number(&b, "mistral3.expert_count", 8);
    check_command(&b, "mistral3.expert_count is 8: mixtures of experts are not read");
    b = header(3, 0, 2);
    put_arch(&b, "olmo2");
    put_number(&b, "olmo2.attention.sliding_window", 4096);
    check_command(&b, "olmo2.attention.sliding_window is 4096, so it is an OLMo 3 model");
    b = header(3, 0, 2);
    put_arch(&b, "mistral3");
    put_float(&b, "mistral3.attention.temperature_scale", 0.125F);
    check_command(&b, "mistral3.attention.temperature_scale is 0.125: queries whose scale grows");
    static const uint32_t depths[] = {0, 1025, UINT32_MAX};
    for (size_t i = 0; i < COUNT_OF(depths); i++) {
        b = header(3, 1, 5);
        put_arch(&b, "granitehybrid");
        put_number(&b, "granitehybrid.block_count", depths[i]);
        put_number(&b, "granitehybrid.embedding_length", 8);
        put_number(&b, "granitehybrid.attention.head_count", 2);
        put_number(&b, "granitehybrid.ssm.time_step_rank", 2);
        put_tensor(&b, "token_embd.weight", 1, 8, 0, 0);
        pad(&b, 32);
        check_command(&b, "layer_types");
    }
}

static StrBuf
scaled(uint64_t tensors, uint64_t more, const char *type)
{
    StrBuf b = header(3, tensors, 2 + more);
    put_arch(&b, "llama");
    put_text(&b, "llama.rope.scaling.type");
    put(&b, STRING, 4);
    put_text(&b, type);
    return b;
}

static void
put_freqs(StrBuf *b, uint64_t rows, uint32_t type, float first)
{
    put_text(b, "rope_freqs.weight");
    put(b, 1, 4);
    put(b, rows, 8);
    put(b, type, 4);
    put(b, 0, 8);
    pad(b, 0);
    sb_putn(b, (const char *)&first, sizeof first);
    pad(b, 32);
}

Test(gguf, says_what_scaled_positions_it_cannot_read)
{
    StrBuf b = scaled(0, 0, "longrope");
    check_command(&b, "llama.rope.scaling.type is 'longrope', expected one of none, linear, yarn");
    b = scaled(0, 1, "linear");
    put_float(&b, "llama.rope.scaling.factor", -2);
    check_command(&b, "llama.rope.scaling.factor is not a number above 0");
    b = scaled(0, 1, "yarn");
    put_float(&b, "llama.rope.scaling.factor", 4);
    check_command(&b, "llama.rope.scaling.original_context_length is needed by yarn, and missing");
    b = scaled(0, 1, "yarn");
    put_float(&b, "llama.rope.scaling.yarn_ext_factor", 0);
    check_command(&b, "llama.rope.scaling.yarn_ext_factor is not 1");
    b = scaled(0, 1, "yarn");
    put_float(&b, "llama.rope.scaling.yarn_log_multiplier", 1);
    check_command(&b, "llama.rope.scaling.yarn_log_multiplier is not 0");
    b = scaled(0, 1, "yarn");
    put_float(&b, "llama.rope.scaling.attn_factor", (float)HUGE_VAL);
    check_command(&b, "llama.rope.scaling.attn_factor is not a number above 0");
    b = scaled(1, 0, "yarn");
    put_freqs(&b, 1, 0, 1);
    check_command(&b, "(rope_freqs.weight) and scales them (llama.rope.scaling)");
    b = scaled(1, 0, "none");
    put_freqs(&b, 1, 0, -1);
    check_command(&b, "rope_freqs.weight is not a list of numbers above 0 in F32");
    b = scaled(1, 0, "none");
    put_freqs(&b, 1, 1, 1);
    check_command(&b, "rope_freqs.weight is not a list of numbers above 0 in F32");
}

/* ---- tokenizers that are wrong -------------------------------------------------------------- */

static void
put_string(StrBuf *b, const char *key, const char *text)
{
    put_text(b, key);
    put(b, STRING, 4);
    put_text(b, text);
}

static void
put_tokens(StrBuf *b)
{
    put_text(b, "tokenizer.ggml.tokens");
    put(b, ARRAY, 4);
    put(b, STRING, 4);
    put(b, 1, 8);
    put_text(b, "a");
}

static void
check_tokenizer(StrBuf *b, const char *says)
{
    char *dir = temp_dir(), *path = path_join(dir, "m.gguf"), *bytes = NULL;
    size_t len = 0;
    Arena *arena = arena_new();
    Diag *diag = diag_new();
    StrBuf said = {0};
    Tokenizer *tok = NULL;
    cr_assert(write_whole(path, sb_text(b), b->len));
    if (fe_gguf_tokenizer(arena, path, diag, &bytes, &len))
        tok = tok_parse(arena, bytes, len, path, diag);
    diag_print(diag, &said);
    cr_expect_null(tok);
    cr_expect(strstr(sb_text(&said), says), "expected \"%s\" in: %s", says, sb_text(&said));
    sb_free(&said);
    diag_free(diag);
    arena_free(arena);
    free(path);
    temp_dir_remove(dir);
    sb_free(b);
}

Test(gguf, names_the_tokens_that_mark_a_middle)
{
    StrBuf b = header(3, 0, 4);
    put_number(&b, "tokenizer.ggml.fim_pre_token_id", 5);
    put_number(&b, "tokenizer.ggml.prefix_token_id", 6);
    put_number(&b, "tokenizer.ggml.suffix_token_id", 7);
    put_number(&b, "tokenizer.ggml.fim_rep_token_id", 8);
    char *dir = temp_dir(), *path = path_join(dir, "m.gguf");
    int64_t ids[TOK_INFILL_COUNT] = {0};
    Diag *diag = diag_new();
    cr_assert(write_whole(path, sb_text(&b), b.len));
    cr_assert(fe_gguf_infill(path, diag, ids));
    cr_expect_eq(ids[TOK_INFILL_prefix], 5, "the newer name");
    cr_expect_eq(ids[TOK_INFILL_suffix], 7);
    cr_expect_eq(ids[TOK_INFILL_middle], -1);
    cr_expect_eq(ids[TOK_INFILL_repo], 8);
    diag_free(diag);
    free(path);
    temp_dir_remove(dir);
    sb_free(&b);
}

Test(gguf, refuses_tokenizers_that_are_wrong)
{
    StrBuf b = header(3, 0, 0);
    check_tokenizer(&b, "it has no tokenizer inside");
    b = header(3, 0, 2);
    put_tokens(&b);
    put_string(&b, "tokenizer.ggml.model", "bert");
    check_tokenizer(&b, "tokenizer.ggml.model is 'bert', expected gpt2 or llama");
    b = header(3, 0, 2);
    put_tokens(&b);
    put_string(&b, "tokenizer.ggml.model", "gpt2");
    check_tokenizer(&b, "it does not say how its tokenizer splits texts (tokenizer.ggml.pre)");
    b = header(3, 0, 3);
    put_tokens(&b);
    put_string(&b, "tokenizer.ggml.model", "gpt2");
    put_string(&b, "tokenizer.ggml.pre", "new");
    check_tokenizer(&b, "tokenizer.ggml.pre is 'new', expected one of gpt-2, mpt");
    b = header(3, 0, 3);
    put_tokens(&b);
    put_string(&b, "tokenizer.ggml.model", "gpt2");
    put_string(&b, "tokenizer.ggml.pre", "gpt-2");
    check_tokenizer(&b, "its tokenizer has no merges (tokenizer.ggml.merges)");
    b = header(3, 0, 2);
    put_tokens(&b);
    put_string(&b, "tokenizer.ggml.model", "llama");
    check_tokenizer(&b, "its tokenizer has not one score for each token");
    b = header(3, 0, 3);
    put_tokens(&b);
    put_string(&b, "tokenizer.ggml.model", "llama");
    put_numbers(&b, "tokenizer.ggml.token_type", 2, 9);
    check_tokenizer(&b, "its tokenizer has not one type for each token");
    b = header(3, 0, 4);
    put_tokens(&b);
    put_string(&b, "tokenizer.ggml.model", "llama");
    put_numbers(&b, "tokenizer.ggml.token_type", 1, 9);
    put_numbers(&b, "tokenizer.ggml.scores", 1, 9);
    check_tokenizer(&b, "its piece 0 is not one");
}
