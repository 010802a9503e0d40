/* tests/unit/test_command.c -- the command as its users call it: what they get wrong, and what they
 * then read. Every fault ends with status 2 and says what was found and what was expected. */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ir/util.h"
#include "tests/harness.h"

#define STORY  SSMC_ROOT "/examples/storyteller.yaml"
#define GOLDEN SSMC_ROOT "/tests/goldens/mamba2-base"
#define IDS    GOLDEN "/golden.safetensors"

/* Runs the command; argv ends with NULL and has no program name. */
static CommandResult
ssmc(const char *const *args, const void *input, size_t len)
{
    const char *argv[32] = {SSMC_BINARY};
    size_t n = 1;
    for (; args[n - 1]; n++) {
        cr_assert_lt(n, 31u);
        argv[n] = args[n - 1];
    }
    return command_run(argv, input, len);
}

#define ARGS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void
expect_fault(const char *const *args, const char *input, size_t len, const char *const *says)
{
    CommandResult r = ssmc(args, input, len);
    cr_expect_eq(r.status, 2, "status %d instead of 2\nstderr: %s", r.status, r.err);
    for (size_t i = 0; says[i]; i++)
        cr_expect(strstr(r.err, says[i]), "stderr lacks '%s':\n%s", says[i], r.err);
    command_free(&r);
}

#define FAULT(args, ...) expect_fault(args, NULL, 0, ARGS(__VA_ARGS__))

/* A YAML model in a temporary directory. */
typedef struct {
    char *dir, *path;
} Model;

static Model
model_write(const char *name, const char *text)
{
    Model m = {.dir = temp_dir()};
    m.path = path_join(m.dir, name);
    cr_assert(write_whole(m.path, text, strlen(text)));
    return m;
}

static void
model_end(Model *m)
{
    temp_dir_remove(m->dir);
    free(m->path);
}

static void
fault_of_yaml(const char *text, const char *const *says)
{
    Model m = model_write("m.yaml", text);
    expect_fault(ARGS("explain", m.path), NULL, 0, says);
    model_end(&m);
}

Test(command, usage)
{
    FAULT(ARGS("rnu", STORY), "unknown command 'rnu'", "run");
    FAULT(ARGS("run"), "-p");
    FAULT(ARGS("run", STORY, "--temprature", "1"), "unknown option '--temprature'",
          "--temperature");
    FAULT(ARGS("import", GOLDEN, "--dtype", "f32"),
          "unknown option '--dtype', which other commands have");
    FAULT(ARGS("import", GOLDEN, "--set", "layers.ssd.head_dim=8"),
          "unknown option '--set', which other commands have");
    FAULT(ARGS("run", STORY, "-p", "x", "-n", "many"), "--tokens", "many");
    FAULT(ARGS("run", STORY, "-p"), "wants an argument");
    FAULT(ARGS("run", STORY, "-p", "x", "--top-p", "1.5"), "--top-p", "0 to 1");
    FAULT(ARGS("run", STORY, "extra", "-p", "x"), "unexpected argument 'extra'");
    FAULT(ARGS("compile", STORY, "--emit", "elf"), "--emit wants graph, lowered",
          "so or exe, not 'elf'");
    FAULT(ARGS("compile", STORY, "--entry", "warmup"),
          "--entry wants prefill or decode, not 'warmup'");
    FAULT(ARGS("logits", STORY, "--mode", "all"), "--mode wants prefill, step or split, not 'all'");
    FAULT(ARGS("compile", STORY, "--stop-after", "fues"), "unknown pass 'fues'", "fuse");
    FAULT(ARGS("compile", STORY, "--emit", "graph", "--skip", "fues"), "unknown pass 'fues'",
          "fuse");
    FAULT(ARGS("bench", STORY, "--decode", "-1"), "--decode must be 0 to");
    FAULT(ARGS("explain", STORY, "--skip", "x"), "unknown pass 'x'", "ssmc help passes");
    FAULT(ARGS("run", STORY, "-p", "x", "--prompt-file", "y"), "either -p TEXT or --prompt-file");
    FAULT(ARGS("run", "/nonexistent/model.yaml", "-p", "x"), "/nonexistent/model.yaml");
}

Test(command, help_works)
{
    for (const char *const *topic = ARGS("run", "keys", "ops", "passes"); *topic; topic++) {
        CommandResult r = ssmc(ARGS("help", *topic), NULL, 0);
        cr_expect_eq(r.status, 0, "help %s: %s", *topic, r.err);
        cr_expect_gt(r.out_len, 200u);
        command_free(&r);
    }
    const char *const *const asked[] = {ARGS("run", "--help"), ARGS("run", "no.yaml", "--help"),
                                        ARGS("run", "no.yaml", "-n", "3", "-h")};
    for (size_t i = 0; i < sizeof asked / sizeof asked[0]; i++) {
        CommandResult r = ssmc(asked[i], NULL, 0);
        cr_expect_eq(r.status, 0, "%s", r.err);
        cr_expect(strstr(r.out, "--repeat-penalty"));
        command_free(&r);
    }
}

Test(command, broken_yaml)
{
    fault_of_yaml("name: x\n  vocab: [1, 2\n", ARGS("m.yaml:", "^"));
    fault_of_yaml("name: x\nvocab: 16\ndim: 32\nlayrs:\n  - {block: mamba2}\n",
                  ARGS("m.yaml:4:1", "layrs", "layers", "^"));
    fault_of_yaml("name: x\nvocab: 16\ndim: 32\nlayers:\n  - {block: mamba2, sate: 8}\n",
                  ARGS("m.yaml:5", "sate", "state"));
    fault_of_yaml("name: x\nvocab: lots\ndim: -4\nlayers:\n  - {block: mamba2}\n",
                  ARGS("m.yaml:2", "lots", "m.yaml:3", "-4"));
}

Test(command, sizes_that_disagree_show_both_places)
{
    fault_of_yaml("name: x\nvocab: 16\ndim: 48\nlayers:\n  - {block: mamba2, head_dim: 64}\n"
                  "weights: {init: reference}\n",
                  ARGS("96", "64", "m.yaml:5"));
}

Test(command, size_products_that_overflow)
{
    fault_of_yaml("name: x\nvocab: 4611686018427387904\ndim: 4611686018427387904\nlayers:\n"
                  "  - {block: mamba2}\nweights: {init: reference}\n",
                  ARGS("m.yaml:2"));
    fault_of_yaml(
        "name: x\nvocab: 1000000\ndim: 1000000\nlayers:\n"
        "  - {block: mamba2, expand: 1000000, state: 1000000}\nweights: {init: reference}\n",
        ARGS("m.yaml:"));
}

Test(command, prompts)
{
    FAULT(ARGS("run", STORY, "-p", ""), "prompt is empty");
    FAULT(ARGS("run", STORY, "-p", "abc\xff"), "not UTF-8", "byte 3", "0xff");
    expect_fault(ARGS("tokenize", STORY), "ab\xc3", 3, ARGS("not UTF-8", "byte 2"));
    expect_fault(ARGS("tokenize", STORY, "--decode"), "1 2 99999", 9, ARGS("99999", "0 to 2047"));
    expect_fault(ARGS("tokenize", STORY, "--decode"), "1 two", 5, ARGS("two"));
}

Test(command, tokenize_takes_the_exact_bytes)
{
    CommandResult plain = ssmc(ARGS("tokenize", STORY), "Once upon a time", 16);
    cr_assert_str_eq(plain.out, "1893 338 626 259 547\n");
    CommandResult newline = ssmc(ARGS("tokenize", STORY), "Once upon a time\n", 17);
    cr_assert_str_eq(newline.out, "1893 338 626 259 547 199\n");
    CommandResult back = ssmc(ARGS("tokenize", STORY, "--decode"), newline.out, newline.out_len);
    cr_assert_str_eq(back.out, "Once upon a time\n");
    command_free(&plain);
    command_free(&newline);
    command_free(&back);
}

Test(command, unknown_cpu)
{
    FAULT(ARGS("explain", STORY, "--cpu", "znver44"), "znver44", "znver4");
}

Test(command, unwritable_output)
{
    FAULT(ARGS("logits", GOLDEN, "--ids", IDS, "--out", "/nonexistent/dir/o.safetensors"),
          "/nonexistent/dir/o.safetensors");
    FAULT(ARGS("compile", STORY, "--emit", "graph", "-o", "/nonexistent/g.ir"),
          "/nonexistent/g.ir");
    FAULT(ARGS("import", GOLDEN, "-o", "/nonexistent/g.yaml"), "/nonexistent/g.yaml");
}

/* A safetensors file of one tensor: header text and data bytes. */
static void
tensors_write(const char *path, const char *header, size_t data_bytes)
{
    const uint64_t n = strlen(header);
    char *bytes = calloc(1, 8 + n + data_bytes + 1);
    memcpy(bytes, &n, 8);
    memcpy(bytes + 8, header, n);
    cr_assert(write_whole(path, bytes, 8 + n + data_bytes));
    free(bytes);
}

static void
fault_of_ids(const char *header, const int64_t *ids, size_t count, const char *const *says)
{
    char *dir = temp_dir(), *path = path_join(dir, "i.safetensors");
    char *out = path_join(dir, "o.safetensors");
    const uint64_t n = strlen(header);
    char *bytes = calloc(1, 8 + n + count * 8);
    memcpy(bytes, &n, 8);
    memcpy(bytes + 8, header, n);
    memcpy(bytes + 8 + n, ids, count * 8);
    cr_assert(write_whole(path, bytes, 8 + n + count * 8));
    expect_fault(ARGS("logits", GOLDEN, "--ids", path, "--out", out), NULL, 0, says);
    cr_expect_null(read_whole(out, NULL), "nothing may be written");
    temp_dir_remove(dir);
    free(bytes);
    free(path);
    free(out);
}

Test(command, ids_out_of_range)
{
    const int64_t ids[3] = {1, 160, 2};
    fault_of_ids("{\"ids_0\":{\"dtype\":\"I64\",\"shape\":[1,3],\"data_offsets\":[0,24]}}", ids, 3,
                 ARGS("ids_0[0,1] is 160", "0 to 159"));
    const int64_t negative[1] = {-1};
    fault_of_ids("{\"ids_0\":{\"dtype\":\"I64\",\"shape\":[1,1],\"data_offsets\":[0,8]}}", negative,
                 1, ARGS("ids_0[0,0] is -1"));
    fault_of_ids("{\"ids_0\":{\"dtype\":\"I64\",\"shape\":[1,0],\"data_offsets\":[0,0]}}", negative,
                 0, ARGS("no ids"));
    fault_of_ids("{\"other\":{\"dtype\":\"I64\",\"shape\":[1,1],\"data_offsets\":[0,8]}}", negative,
                 1, ARGS("no tensor named ids_K"));
}

/* A model that says no end of a text goes on for all of -n, which is said once. */
Test(command, no_end_of_text_is_known)
{
    static const char says[] = "note: " STORY " says no id that ends a text: generation goes on "
                               "for all 3 tokens of -n (`--set eos=ID` names one)\n";
    const char *const more[] = {"--set", "--ignore-eos", "--greedy"};
    for (size_t i = 0; i < sizeof more / sizeof more[0]; i++) {
        const char *argv[] = {
            SSMC_BINARY, "run", STORY, "-p", "x", "-n", "3", more[i], i == 0 ? "eos=none" : NULL,
            NULL};
        CommandResult r = command_run(argv, NULL, 0);
        const char *said = strstr(r.err, says);
        cr_expect_eq(r.status, 0, "%s", r.err);
        cr_expect_eq(said != NULL, i == 0, "%s", r.err);
        cr_expect(!said || !strstr(said + 1, says));
        command_free(&r);
    }
}

Test(command, broken_safetensors)
{
    static const struct {
        const char *header;
        size_t data;
        const char *says;
    } files[] = {
        {"{\"a\":{\"dtype\":\"I64\",\"shape\":[1,4],\"data_offsets\":[0,32]}}",                   16, "a"      },
        {"{\"a\":{\"dtype\":\"I64\",\"shape\":[1,2],\"data_offsets\":[0,16]},"
         "\"b\":{\"dtype\":\"I64\",\"shape\":[1,2],\"data_offsets\":[8,24]}}",           24, "overlap"},
        {"{\"a\":{\"dtype\":\"I64\",\"shape\":[4611686018427387904,8],\"data_offsets\":[0,16]}}",
         16,                                                                                          "a"      },
        {"{\"a\":{\"dtype\":\"I64\",\"shape\":[1,2],\"data_offsets\":[0,16]}",                    16, "JSON"   },
    };
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        char *dir = temp_dir(), *path = path_join(dir, "i.safetensors");
        tensors_write(path, files[i].header, files[i].data);
        expect_fault(ARGS("logits", GOLDEN, "--ids", path, "--out", "/dev/null"), NULL, 0,
                     ARGS("i.safetensors", files[i].says));
        temp_dir_remove(dir);
        free(path);
    }
}

/* The golden's description with another weights file. */
static void
fault_of_weights(const char *header, size_t data_bytes, const char *const *says)
{
    char *dir = temp_dir();
    char *weights = path_join(dir, "model.safetensors"), *config = path_join(dir, "config.json");
    size_t len = 0;
    char *text = read_whole(GOLDEN "/config.json", &len);
    cr_assert(text && write_whole(config, text, len));
    tensors_write(weights, header, data_bytes);
    expect_fault(ARGS("logits", dir, "--ids", IDS, "--out", "/dev/null"), NULL, 0, says);
    temp_dir_remove(dir);
    free(text);
    free(weights);
    free(config);
}

Test(command, tensors_that_do_not_fit_the_model)
{
    fault_of_weights(
        "{\"backbone.embeddings.weight\":{\"dtype\":\"F32\",\"shape\":[160,32],"
        "\"data_offsets\":[0,20480]},"
        "\"backbone.layers.0.norm.weight\":{\"dtype\":\"I32\",\"shape\":[64],"
        "\"data_offsets\":[20480,20736]},"
        "\"backbone.surplus\":{\"dtype\":\"F32\",\"shape\":[1],"
        "\"data_offsets\":[20736,20740]}}",
        20740,
        ARGS("model.safetensors: error: tensor 'backbone.embeddings.weight' has the shape "
             "[160,32]; expected [160,64], which is [vocab, dim] of block lm\n",
             "note: the size 64 comes from dim\n", "\"hidden_size\": 64",
             "model.safetensors: error: tensor 'backbone.layers.0.norm.weight' has the "
             "type I32; weights are F64, F32, F16 or BF16\n",
             "model.safetensors: error: there is a tensor 'backbone.surplus', which the "
             "model does not use; --set 'ignored=[backbone.surplus]' lets it be, as `ignored:` "
             "does in a YAML file\n",
             "model.safetensors: error: there is no tensor "
             "'backbone.layers.0.mixer.in_proj.weight' [",
             "'backbone.layers.0.mixer.conv1d.bias' [",
             "note: that it must be there comes from conv_bias\n", "\"use_conv_bias\": true"));
}

/* What a run over the golden's checkpoint says once a key of its config.json has another value. */
static char *
says_of_config(const char *from, const char *to)
{
    char *dir = temp_dir();
    char *weights = path_join(dir, "model.safetensors"), *config = path_join(dir, "config.json");
    char *text = read_whole(GOLDEN "/config.json", NULL);
    cr_assert(text && strstr(text, from), "config.json lacks %s", from);
    char *changed = text_replace(text, from, to);
    cr_assert(write_whole(config, changed, strlen(changed)) &&
              symlink(GOLDEN "/model.safetensors", weights) == 0);
    CommandResult r = ssmc(ARGS("logits", dir, "--ids", IDS, "--out", "/dev/null"), NULL, 0);
    cr_assert_eq(r.status, 2, "%s", r.err);
    char *says = text_replace(r.err, dir, "@DIR@");
    command_free(&r);
    temp_dir_remove(dir);
    free(changed);
    free(text);
    free(config);
    free(weights);
    return says;
}

static int
count_of(const char *text, const char *part)
{
    int count = 0;
    for (const char *at = text; (at = strstr(at, part)) != NULL; at++)
        count++;
    return count;
}

/* A key that is wrong is shown once, however many layers it puts wrong. */
Test(command, a_wrong_size_is_traced_to_its_keys)
{
    char *says = says_of_config("\"state_size\": 32", "\"state_size\": 48");
    cr_expect(strstr(says,
                     "model.safetensors: error: tensor 'backbone.layers.0.mixer.in_proj.weight' "
                     "has the shape ["),
              "%s", says);
    cr_expect(strstr(says, "which is [projected, dim] of block mamba2\n"), "%s", says);
    cr_expect(strstr(says, "which is [channels, 1, conv] of block mamba2\n"), "%s", says);
    cr_expect_gt(count_of(says, "layers.1.mixer.in_proj.weight"), 0, "%s", says);
    cr_expect_null(strstr(says, "the size 64 "), "that one is as it should be:\n%s", says);
    cr_expect_eq(count_of(says, "comes from state\n"), 3,
                 "in_proj, conv1d.weight, conv1d.bias:\n%s", says);
    cr_expect(strstr(says, "config.json:") && strstr(says, "\"state_size\": 48"), "%s", says);
    free(says);
}

Test(command, a_truncated_checkpoint)
{
    char *dir = temp_dir();
    char *weights = path_join(dir, "model.safetensors"), *config = path_join(dir, "config.json");
    size_t len = 0, wlen = 0;
    char *text = read_whole(GOLDEN "/config.json", &len);
    char *bytes = read_whole(GOLDEN "/model.safetensors", &wlen);
    cr_assert(text && bytes && write_whole(config, text, len));
    const size_t cuts[] = {0, 7, 8, 100, wlen / 2, wlen - 1};
    for (size_t i = 0; i < sizeof cuts / sizeof cuts[0]; i++) {
        cr_assert(write_whole(weights, bytes, cuts[i]));
        expect_fault(ARGS("logits", dir, "--ids", IDS, "--out", "/dev/null"), NULL, 0,
                     ARGS("model.safetensors"));
    }
    temp_dir_remove(dir);
    free(text);
    free(bytes);
    free(weights);
    free(config);
}

/* Stages print, and graph and lowered texts read back to the identical text and run. */
static char *
compiled(const char *model, const char *emit)
{
    CommandResult r = ssmc(ARGS("compile", model, "--emit", emit), NULL, 0);
    cr_assert_eq(r.status, 0, "%s --emit %s: %s", model, emit, r.err);
    char *text = strdup(r.out);
    command_free(&r);
    return text;
}

Test(command, stages_read_back)
{
    const char *const models[] = {STORY, SSMC_ROOT "/examples/custom-block.yaml", GOLDEN};
    for (size_t i = 0; i < 3; i++) {
        for (const char *const *emit = ARGS("graph", "lowered", "plan"); *emit; emit++) {
            char *text = compiled(models[i], *emit);
            Model m = model_write("g.ir", text);
            char *again = compiled(m.path, strcmp(*emit, "graph") == 0 ? "graph" : *emit);
            char *diff = text_diff(text, again);
            cr_expect_str_empty(diff, "%s --emit %s does not read back:\n%s", models[i], *emit,
                                diff);
            free(diff);
            free(again);
            free(text);
            model_end(&m);
        }
    }
}

Test(command, graph_texts_run)
{
    char *want = NULL;
    for (const char *const *emit = ARGS("graph", "lowered", "plan"); *emit; emit++) {
        char *text = compiled(STORY, *emit);
        Model m = model_write("g.ir", text);
        CommandResult r =
            ssmc(ARGS("run", m.path, "-p", "Once upon a time", "-n", "12", "--greedy"), NULL, 0);
        cr_assert_eq(r.status, 0, "%s: %s", *emit, r.err);
        if (!want)
            want = strdup(r.out);
        cr_expect_str_eq(r.out, want, "--emit %s runs to another text", *emit);
        command_free(&r);
        model_end(&m);
        free(text);
    }
    free(want);
}

/* Logits are the first output of picked rows, whatever else a graph gives. */
Test(command, a_graph_text_with_another_output_runs_alike)
{
    char name[64] = "", *text = compiled(STORY, "graph");
    const char *take = strstr(text, "take("), *output = strstr(text, "  output ");
    cr_assert(take && output && sscanf(take, "take(%63[^,]", name) == 1, "%s", text);
    StrBuf more = {0};
    sb_printf(&more, "%.*s  output %s\n%s", (int)(output - text), text, name, output);
    Model m = model_write("g.ir", sb_text(&more));
    const char *const *rest = ARGS("-p", "Once upon a time", "-n", "12", "--greedy");
    CommandResult want =
        ssmc(ARGS("run", STORY, rest[0], rest[1], rest[2], rest[3], rest[4]), NULL, 0);
    CommandResult got =
        ssmc(ARGS("run", m.path, rest[0], rest[1], rest[2], rest[3], rest[4]), NULL, 0);
    cr_expect_eq(got.status, 0, "%s", got.err);
    cr_expect_str_eq(got.out, want.out);
    command_free(&want);
    command_free(&got);
    model_end(&m);
    sb_free(&more);
    free(text);
}

Test(command, the_same_seed_gives_the_same_text)
{
    const char *const *args = ARGS("run", STORY, "-p", "The king", "-n", "24", "--seed", "5");
    CommandResult a = ssmc(args, NULL, 0), b = ssmc(args, NULL, 0);
    CommandResult c =
        ssmc(ARGS("run", STORY, "-p", "The king", "-n", "24", "--seed", "6"), NULL, 0);
    cr_assert_eq(a.status, 0, "%s", a.err);
    cr_assert_str_eq(a.out, b.out);
    cr_assert_str_neq(a.out, c.out);
    command_free(&a);
    command_free(&b);
    command_free(&c);
}

Test(command, no_pass_changes_the_numbers)
{
    const char *const models[] = {
        SSMC_ROOT "/tests/goldens/mamba2-base",     SSMC_ROOT "/tests/goldens/mamba2-groups",
        SSMC_ROOT "/tests/goldens/mamba2-oddstate", SSMC_ROOT "/tests/goldens/mamba2-bias",
        SSMC_ROOT "/examples/custom-block.yaml",    SSMC_ROOT "/examples/hybrid.yaml",
        SSMC_ROOT "/examples/retnet.yaml",          SSMC_ROOT "/tests/fuzz/corpus/ir/experts.ir"};
    for (size_t i = 0; i < sizeof models / sizeof models[0]; i++)
        for (const char *const *entry = ARGS("prefill", "decode"); *entry; entry++) {
            CommandResult r = ssmc(ARGS("compile", models[i], "--emit", "plan", "--entry", *entry,
                                        "--check-each", "--verify-each"),
                                   NULL, 0);
            cr_expect_eq(r.status, 0, "%s %s: %s", models[i], *entry, r.err);
            command_free(&r);
        }
}

Test(command, bench_of_an_ssd_wants_four_sizes)
{
    FAULT(ARGS("bench", "--ssd", "24,64,128"), "--ssd wants heads, head dim, state and groups",
          "not '24,64,128'");
    FAULT(ARGS("bench", "--ssd", "24,64,128,1,1"), "not '24,64,128,1,1'");
    FAULT(ARGS("bench", "--ssd", "24,64,0,1"), "each 1 to 4096");
    FAULT(ARGS("bench", "--ssd", "24,64,128,5"), "heads a multiple of groups");
    FAULT(ARGS("bench", "--ssd", "24,64,128,1", "--form", "fast"),
          "--form wants recurrent, chunked or quadratic");
    FAULT(ARGS("bench", "--delta", "4,8,8,4", "--chunk", "16,32"), "--chunk wants one number here");
    FAULT(ARGS("bench", "--delta", "32,128"),
          "--delta wants heads, channels of a value and of a key", "not '32,128'");
    FAULT(ARGS("bench", "--delta", "32,128,128,5"), "heads a multiple of groups");
    FAULT(ARGS("bench", "--scan", "24"),
          "--scan wants channels, 1 to 65536, and states, 1 to 1024");
    FAULT(ARGS("bench", "--scan", "24,16,1"), "not '24,16,1'");
    FAULT(ARGS("bench", "--scan", "0,16"), "like 1536,16; not '0,16'");
    FAULT(ARGS("bench", "--attend", "24"), "--attend wants heads and head dim, each 1 to 4096",
          "not '24'");
    FAULT(ARGS("bench", "--attend", "24,64x"), "not '24,64x'");
    FAULT(ARGS("bench", "--ssd", "24,64,128,5", "--device", "model"), "heads a multiple of groups");
    FAULT(
        ARGS("bench", "--scan", "24,16", "--device", "model", "--prefill", "96", "--batch", "4,5"),
        "96 tokens are not 5 sequences of one length");
    FAULT(
        ARGS("bench", "--delta", "2,4,4,1", "--device", "model", "--prefill", "9", "--batch", "2"),
        "9 tokens are not 2 sequences of one length");
    FAULT(ARGS("bench", "--scan", "24,16", "--device", "model", "--batch", ""),
          "--prefill and --batch want at least one number each");
    FAULT(ARGS("bench", "--ssd", "24,64,128,1", "--device", "gpu"), "compile.device is 'gpu'");
    FAULT(ARGS("bench", "--figure", "/dev/null", "--device", "gpu"),
          "--device wants cpu, cuda, sm_80, sm_90a or model, not 'gpu'");
    FAULT(ARGS("bench", "--figure", "-", "--batch", "1,2"), "--figure wants one --batch");
    FAULT(ARGS("bench", "--ssd", "24,64,128,1", "--device", "cuda", "--dtype", "int8"),
          "compile.dtype=int8 is for CPUs");
}

/* ---- formats --------------------------------------------------------------------------------- */

Test(command, formats_that_are_none)
{
    FAULT(ARGS("compile", STORY, "--dtype", "int2"),
          "compile.dtype is 'int2'; expected f32, f16, bf16, int8, int4 or stored");
    FAULT(ARGS("compile", STORY, "--dtype", "int8", "--set", "compile.group=7"),
          "compile.group = 7; expected a multiple of 8");
    FAULT(ARGS("compile", STORY, "--dtype", "int4", "--set", "compile.group=65544"),
          "compile.group is '65544'; expected a whole number from -1 to 65536");
    FAULT(ARGS("compile", STORY, "--set", "compile.group=-2"), "compile.group is '-2'");
    fault_of_yaml("name: m\nvocab: 8\ndim: 64\nweights: {init: reference}\n"
                  "compile: {dtype: int8, group: 12}\nlayers:\n  - {block: mamba2}\n",
                  ARGS("m.yaml:5:31: error: compile.group = 12; expected a multiple of 8"));
}

/* A sum of products of bytes is a number of 32 bits. */
Test(command, rows_too_long_for_a_sum_in_32_bits)
{
    Model m = model_write("m.yaml",
                          "name: wide\nvocab: 4\ndim: 8\nlayers: [{block: wide}]\n"
                          "weights: {init: reference}\ncompile: {dtype: int8}\nblocks:\n"
                          "  - block: wide\n    weights: {up: {shape: [140000, dim], init: ones}, "
                          "down: {shape: [dim, 140000], init: ones}}\n"
                          "    ops:\n      - h = h + linear(linear(h, up), down)\n");
    expect_fault(ARGS("compile", m.path, "--emit", "asm"), NULL, 0,
                 ARGS("m.yaml:11:17: error: 140000 inputs share a scale", "in 32 bits holds 133144",
                      "compile.group=128", "^"));
    model_end(&m);
}

/* One pass rounds, as much as its table allows; no other changes the numbers. */
typedef struct {
    char model[1000], entry[8], dtype[8], state[8];
} Checked;

ParameterizedTestParameters(command, check_each_in_every_format)
{
    static const char *const models[] = {STORY, GOLDEN, SSMC_ROOT "/tests/goldens/mamba2-bias"};
    static const char *const dtypes[] = {"f16", "bf16", "int8", "int4"};
    static Checked all[12];
    for (size_t i = 0; i < 12; i++) {
        const bool decode = i / 4 == 2;
        snprintf(all[i].model, sizeof all[i].model, "%s", models[i / 4]);
        snprintf(all[i].entry, sizeof all[i].entry, "%s", decode ? "decode" : "prefill");
        snprintf(all[i].dtype, sizeof all[i].dtype, "%s", dtypes[i % 4]);
        snprintf(all[i].state, sizeof all[i].state, "%s", decode ? "f32" : "bf16");
    }
    return cr_make_param_array(Checked, all, 12);
}

ParameterizedTest(Checked *c, command, check_each_in_every_format)
{
    CommandResult r =
        ssmc(ARGS("compile", c->model, "--emit", "plan", "--entry", c->entry, "--dtype", c->dtype,
                  "--state-dtype", c->state, "--check-each", "--verify-each"),
             NULL, 0);
    cr_expect_eq(r.status, 0, "%s %s: %s", c->model, c->dtype, r.err);
    cr_expect(strstr(r.err, "check quantise      rms") && strstr(r.err, "check layout"), "%s",
              r.err);
    command_free(&r);
}

/* A plan says its types itself: no --dtype is needed to run it. It decodes as it prefills, which is
 * the same only where both are recurrent. */
Test(command, plans_of_every_format_read_back_and_run)
{
    for (const char *const *dtype = ARGS("f16", "int8", "int4"); *dtype; dtype++) {
        CommandResult plan =
            ssmc(ARGS("compile", STORY, "--emit", "plan", "--dtype", *dtype, "--form", "recurrent"),
                 NULL, 0);
        cr_assert_eq(plan.status, 0, "%s", plan.err);
        Model m = model_write("g.ir", plan.out);
        char *again = compiled(m.path, "plan");
        cr_expect_str_eq(again, plan.out, "%s: the plan does not read back", *dtype);
        CommandResult want = ssmc(ARGS("run", STORY, "-p", "Once upon a time", "-n", "12",
                                       "--greedy", "--dtype", *dtype, "--form", "recurrent"),
                                  NULL, 0);
        CommandResult got =
            ssmc(ARGS("run", m.path, "-p", "Once upon a time", "-n", "12", "--greedy"), NULL, 0);
        cr_expect_eq(got.status, 0, "%s: %s", *dtype, got.err);
        cr_expect_str_eq(got.out, want.out, "%s", *dtype);
        command_free(&plan);
        command_free(&want);
        command_free(&got);
        free(again);
        model_end(&m);
    }
}

/* Mean nats per token of a text. */
static double
nats_per_token(const char *dtype, const char *text)
{
    CommandResult r = ssmc(
        ARGS("perplexity", STORY, "--text", text, "--window", "256", "--dtype", dtype), NULL, 0);
    cr_assert_eq(r.status, 0, "%s: %s", dtype, r.err);
    const char *at = strstr(r.out, "nats_per_token ");
    cr_assert(at, "%s", r.out);
    const double nats = strtod(at + strlen("nats_per_token "), NULL);
    command_free(&r);
    return nats;
}

/* The text is what the model itself tells in f32, drawn from its probabilities as they are: what a
 * format adds to its nats is, on average, the Kullback-Leibler divergence from f32. */
Test(command, formats_cost_little_accuracy)
{
    static const struct {
        const char *dtype;
        double cost;
    } formats[] = {
        {"bf16", 0.005},
        {"f16",  0.001},
        {"int8", 0.01 },
        {"int4", 0.08 },
    };
    CommandResult told = ssmc(ARGS("run", STORY, "-p", "Once upon a time", "-n", "1500", "--seed",
                                   "3", "--temperature", "1", "--top-p", "1", "--dtype", "f32"),
                              NULL, 0);
    cr_assert_eq(told.status, 0, "%s", told.err);
    Model text = model_write("told.txt", told.out);
    const double exact = nats_per_token("f32", text.path);
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        const double nats = nats_per_token(formats[i].dtype, text.path);
        cr_expect_leq(fabs(nats - exact), formats[i].cost, "%s: %g nats a token, f32 %g",
                      formats[i].dtype, nats, exact);
    }
    command_free(&told);
    model_end(&text);
}
