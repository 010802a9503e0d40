/* tests/unit/test_kind.c -- what is given where a model or its weights are wanted is named for what
 * it is, with what to give instead; status 2. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/harness.h"

#define GOLDEN    SSMC_ROOT "/tests/goldens/mamba2-base"
#define ARGS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void
expect(const char *const *argv, const char *input, const char *const *says)
{
    CommandResult r = command_run(argv, input, input ? strlen(input) : 0);
    cr_expect_eq(r.status, 2, "status %d: %s", r.status, r.err);
    cr_expect_eq(r.out_len, 0);
    for (size_t i = 0; says[i]; i++)
        cr_expect(strstr(r.err, says[i]), "stderr lacks '%s': %s", says[i], r.err);
    command_free(&r);
}

#define BYTES(text) text, sizeof text - 1
#define ZIP         "PK\3\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0" /* then a name */

static const struct {
    const char *name, *content;
    size_t len;
    const char *is, *instead;
} files[] = {
    {"x.pt",     BYTES("\x80\2}q\0."),                                                "is a PyTorch file",         "save it again: python3"},
    {"x.zip",    BYTES(ZIP "model/config.json"),                                      "is an archive",             "unpack it"             },
    {"x.npz",    BYTES(ZIP "w.npy"),                                                  "is a file of NumPy arrays", "safetensors.numpy"     },
    {"x.h5",     BYTES("\x89HDF\r\n\x1a\n"),                                          "is an HDF5 file",           "safetensors"           },
    {"x.tar.gz", BYTES("\x1f\x8b\b\0\0\0\0\0"),                                       "is an archive",             "unpack it"             },
    {"model",    BYTES("\177ELF\2\1\1\0"),                                            "is a program or a library", "--emit so"             },
    {"lfs",      BYTES("version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
     "is a Git LFS pointer",                                                                                       "git lfs pull"          },
    {"page",     BYTES("<!DOCTYPE html><html></html>"),                               "is a page of HTML",         "download"              },
};

Test(kind, files)
{
    char *dir = temp_dir();
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        char *path = path_join(dir, files[i].name);
        cr_assert(write_whole(path, files[i].content, files[i].len));
        expect(ARGS(SSMC_BINARY, "explain", path), NULL, ARGS(files[i].is, files[i].instead));
        expect(ARGS(SSMC_BINARY, "import", path), NULL, ARGS(files[i].is, files[i].instead));
        char set[512];
        snprintf(set, sizeof set, "weights=%s", path);
        expect(ARGS(SSMC_BINARY, "explain", GOLDEN, "--set", set), NULL,
               ARGS(files[i].is, files[i].instead));
        snprintf(set, sizeof set, "tokenizer=%s", path);
        expect(ARGS(SSMC_BINARY, "tokenize", GOLDEN, "--set", set), "x",
               ARGS(files[i].is, files[i].instead));
        free(path);
    }
    temp_dir_remove(dir);
}

/* Of weights alone, one that is taken as weights. */
Test(kind, files_of_weights)
{
    static const char *const paths[] = {GOLDEN "/model.safetensors",
                                        SSMC_ROOT "/tests/data/torch/float32.bin"};
    static const char *const is[] = {"is a safetensors file: weights without a description",
                                     "is a PyTorch file: weights without a description"};
    for (int i = 0; i < 2; i++) {
        char says[512], set[512];
        snprintf(says, sizeof says, "a YAML file that says `weights: %s`", paths[i]);
        snprintf(set, sizeof set, "tokenizer=%s", paths[i]);
        expect(ARGS(SSMC_BINARY, "explain", paths[i]), NULL, ARGS(is[i], says));
        expect(ARGS(SSMC_BINARY, "import", paths[i]), NULL, ARGS(is[i], says));
        expect(ARGS(SSMC_BINARY, "tokenize", GOLDEN, "--set", set), "x", ARGS(is[i], says));
    }
}

Test(kind, files_of_a_checkpoint)
{
    char *dir = temp_dir(), *empty = path_join(dir, "m.yaml");
    char *adapter = path_join(dir, "adapter_config.json");
    char *index = path_join(dir, "model.safetensors.index.json");
    expect(ARGS(SSMC_BINARY, "explain", GOLDEN "/config.json"), NULL,
           ARGS("is the config.json of a checkpoint", "give the directory that it is in: " GOLDEN));
    expect(ARGS(SSMC_BINARY, "explain", SSMC_ROOT "/examples/storyteller/tokenizer.json"), NULL,
           ARGS("is a tokenizer;"));
    cr_assert(write_whole(empty, "", 0) && write_whole(adapter, "{\"peft_type\": \"LORA\"}", 21) &&
              write_whole(index, "{\"weight_map\": {}}", 18));
    expect(ARGS(SSMC_BINARY, "explain", empty), NULL, ARGS("is an empty file"));
    expect(ARGS(SSMC_BINARY, "explain", adapter), NULL, ARGS("an adapter (LoRA)"));
    expect(ARGS(SSMC_BINARY, "explain", index), NULL,
           ARGS("is the index of a checkpoint's weights"));
    temp_dir_remove(dir);
    free(empty);
    free(adapter);
    free(index);
}

Test(kind, names_on_a_hub)
{
    static const char *const names[] = {"state-spaces/mamba2-130m", "hf://state-spaces/mamba2-130m",
                                        "https://huggingface.co/state-spaces/mamba2-130m/tree/main",
                                        "hf.co/state-spaces/mamba2-130m:F16"};
    static const char wants[] =
        "`huggingface-cli download state-spaces/mamba2-130m --local-dir mamba2-130m`";
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        expect(ARGS(SSMC_BINARY, "explain", names[i]), NULL, ARGS(wants));
    expect(ARGS(SSMC_BINARY, "import", names[0]), NULL, ARGS(wants));
    expect(ARGS(SSMC_BINARY, "explain", GOLDEN, "--set", "weights=state-spaces/mamba2-130m"), NULL,
           ARGS(wants));
    static const char *const paths[] = {"./nowhere/model", "nowhere/model.yaml", "model"};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        CommandResult r = command_run(ARGS(SSMC_BINARY, "explain", paths[i]), NULL, 0);
        cr_expect_eq(r.status, 2);
        cr_expect(!strstr(r.err, "hub"), "%s", r.err);
        command_free(&r);
    }
}

/* A directory that holds one file, beside config.json or not. */
static void
expect_folder(bool config, const char *name, const char *content, size_t len,
              const char *const *says)
{
    char *dir = temp_dir(), *path = path_join(dir, name);
    char *own = path_join(dir, "config.json"), *text = read_whole(GOLDEN "/config.json", NULL);
    cr_assert(text && write_whole(path, content, len));
    if (config)
        cr_assert(write_whole(own, text, strlen(text)));
    expect(ARGS(SSMC_BINARY, "explain", dir), NULL,
           ARGS(config ? "has no *.safetensors" : "has no config.json"));
    expect(ARGS(SSMC_BINARY, "explain", dir), NULL, says);
    expect(ARGS(SSMC_BINARY, "run", dir, "-p", "x"), NULL, says);
    temp_dir_remove(dir);
    free(path);
    free(own);
    free(text);
}

Test(kind, folders)
{
    static const char zip[] = ZIP "archive/data.pkl";
    for (int config = 0; config < 2; config++) {
        expect_folder(config, "pytorch_model-00001-of-00002.bin", zip, sizeof zip - 1,
                      ARGS("pytorch_model-00001-of-00002.bin is one of several files, and "
                           "pytorch_model.bin.index.json"));
        expect_folder(config, "consolidated.00.pth", zip, sizeof zip - 1,
                      ARGS("consolidated.00.pth is a PyTorch file: weights without a description",
                           "give a directory that has it as pytorch_model.bin"));
        expect_folder(config, "old.bin", "\x80\2}q\0.", 6,
                      ARGS("old.bin is a PyTorch file as version 1.5", "save it again"));
        expect_folder(config, "m-Q4_K.gguf", "GGUF\3\0\0\0", 8, ARGS("m-Q4_K.gguf is a GGUF file"));
        expect_folder(config, "adapter_config.json", "{}", 2, ARGS("it holds an adapter (LoRA)"));
        expect_folder(config, "flax_model.msgpack", "x", 1, ARGS("flax_model.msgpack is of Flax"));
        expect_folder(config, "README.md", "x", 1, ARGS("has no "));
    }
    expect_folder(false, "pytorch_model.bin", zip, sizeof zip - 1,
                  ARGS("pytorch_model.bin is a PyTorch file", "beside its config.json"));
    expect_folder(false, "model.safetensors", "\2\0\0\0\0\0\0\0{}", 10,
                  ARGS("model.safetensors holds weights", "config.json belongs beside it"));
    expect_folder(true, "adapter_model.safetensors", "\2\0\0\0\0\0\0\0{}", 10, ARGS("has no "));
}
