/* runtime/kind.c -- what a file or a folder is that was given where a model or its weights are
 * wanted: told by content where there is a file, by names in a folder. */
#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "runtime/internal.h"

enum {
    HEAD = 8192,  /* bytes of a file that are looked at */
    ZIP_NAME = 30 /* where a zip archive has the name of its first entry */
};

/* ---- files --------------------------------------------------------------------------------- */

typedef struct {
    char text[HEAD + 1]; /* NUL behind it */
    size_t len;
    uint64_t file; /* bytes of the whole file */
} Head;

/* False: it is not a regular file, or cannot be read. */
static bool
head_read(const char *path, Head *out)
{
    struct stat st;
    if (stat(path, &st) != 0 || !S_ISREG(st.st_mode))
        return false;
    FILE *f = fopen(path, "rb");
    if (!f)
        return false;
    out->len = fread(out->text, 1, HEAD, f);
    out->text[out->len] = '\0';
    out->file = (uint64_t)st.st_size;
    fclose(f);
    return true;
}

/* Whether `what` is somewhere in the head, behind NULs too. */
static bool
head_has(const Head *h, const char *what)
{
    const size_t n = strlen(what);
    for (size_t at = 0; at + n <= h->len; at++)
        if (memcmp(h->text + at, what, n) == 0)
            return true;
    return false;
}

static bool
is_safetensors(const Head *h)
{
    enum { LENGTH = 8 };
    uint64_t n = 0;
    for (int i = LENGTH; h->len > LENGTH && i-- > 0;)
        n = n << 8 | (unsigned char)h->text[i];
    return n > 0 && h->file > LENGTH && n <= h->file - LENGTH && h->text[LENGTH] == '{';
}

/* Texts of JSON that are part of a checkpoint; a description may be JSON too. */
static RtKind
kind_of_json(const Head *h)
{
    static const struct {
        const char *key;
        RtKind kind;
    } keys[] = {
        {"\"peft_type\"",     RT_KIND_adapter  },
        {"\"weight_map\"",    RT_KIND_index    },
        {"\"added_tokens\"",  RT_KIND_tokenizer},
        {"\"pre_tokenizer\"", RT_KIND_tokenizer},
        {"\"model_type\"",    RT_KIND_config   },
        {"\"architectures\"", RT_KIND_config   },
        {"\"ssm_cfg\"",       RT_KIND_config   },
    };
    const size_t space = strspn(h->text, " \t\r\n");
    for (size_t i = 0; h->text[space] == '{' && i < RT_COUNT(keys); i++)
        if (head_has(h, keys[i].key))
            return keys[i].kind;
    return RT_KIND_other;
}

static RtKind
kind_of_head(const Head *h)
{
    static const struct {
        const char *magic;
        size_t at, len;
        RtKind kind;
    } magics[] = {
        {"GGUF",                    0,   4,  RT_KIND_gguf     },
        {"lmgg",                    0,   4,  RT_KIND_ggml     },
        {"fmgg",                    0,   4,  RT_KIND_ggml     },
        {"tjgg",                    0,   4,  RT_KIND_ggml     },
        {"\x93NUMPY",               0,   6,  RT_KIND_numpy    },
        {"\x89HDF",                 0,   4,  RT_KIND_hdf5     },
        {"\x7f"
         "ELF",            0,   4,  RT_KIND_elf      },
        {"\x80\x02",                0,   2,  RT_KIND_torch_old},
        {"\x80\x03",                0,   2,  RT_KIND_torch_old},
        {"\x80\x04",                0,   2,  RT_KIND_torch_old},
        {"\x1f\x8b",                0,   2,  RT_KIND_archive  },
        {"\x28\xb5\x2f\xfd",        0,   4,  RT_KIND_archive  },
        {"\xfd"
         "7zXZ",           0,   5,  RT_KIND_archive  },
        {"ustar",                   257, 5,  RT_KIND_archive  },
        {"version https://git-lfs", 0,   23, RT_KIND_lfs      },
        {"<!DOCTYPE html",          0,   14, RT_KIND_html     },
        {"<!doctype html",          0,   14, RT_KIND_html     },
        {"<html",                   0,   5,  RT_KIND_html     },
    };
    if (h->file == 0)
        return RT_KIND_empty;
    if (is_safetensors(h))
        return RT_KIND_safetensors;
    for (size_t i = 0; i < RT_COUNT(magics); i++)
        if (h->len >= magics[i].at + magics[i].len &&
            memcmp(h->text + magics[i].at, magics[i].magic, magics[i].len) == 0)
            return magics[i].kind;
    if (h->len > ZIP_NAME && memcmp(h->text, "PK\3\4", 4) == 0)
        return head_has(h, ".npy")                         ? RT_KIND_numpy
               : h->text[ZIP_NAME] && !head_has(h, ".pkl") ? RT_KIND_archive
                                                           : RT_KIND_torch;
    if (h->text[0] == '\n' && h->len > 64 && memchr(h->text, '\0', h->len) && head_has(h, "<unk>"))
        return RT_KIND_sentencepiece;
    return kind_of_json(h);
}

RtKind
rt_kind_of(const char *path)
{
    Head head;
    return head_read(path, &head) ? kind_of_head(&head) : RT_KIND_other;
}

RtKind
rt_kind_of_bytes(const char *bytes, size_t len)
{
    Head head = {.len = len < HEAD ? len : HEAD, .file = len};
    memcpy(head.text, bytes, head.len);
    return kind_of_head(&head);
}

/* ---- messages ------------------------------------------------------------------------------ */

typedef struct {
    char text[4096];
    size_t len;
} Line;

static void
line_put(Line *line, const char *text, size_t len)
{
    const size_t room = sizeof line->text - 1 - line->len;
    len = len < room ? len : room;
    memcpy(line->text + line->len, text, len);
    line->len += len;
    line->text[line->len] = '\0';
}

/* `form` with $ for the path and @ for its folder. */
static void
line_form(Line *line, const char *form, const char *path)
{
    const char *slash = strrchr(path, '/');
    for (const char *at = form; *at; at++) {
        if (*at == '$')
            line_put(line, path, strlen(path));
        else if (*at == '@' && slash)
            line_put(line, path, slash == path ? 1 : (size_t)(slash - path));
        else
            line_put(line, *at == '@' ? "." : at, 1);
    }
}

static const struct {
    const char *what, *instead;
    bool json;
} kinds[] = {
#define FILE_KIND(id, what, instead) [RT_KIND_##id] = {what, instead, false},
#define JSON_KIND(id, what, instead) [RT_KIND_##id] = {what, instead, true},
#include "runtime/kinds.def"
#undef FILE_KIND
};

bool
rt_kind_may_be_json(RtKind kind)
{
    return kind == RT_KIND_other || kinds[kind].json;
}

ssmc_status
rt_kind_fault(const char *path, RtKind kind)
{
    Line instead = {.len = 0};
    line_form(&instead, kinds[kind].instead, path);
    return rt_fail(SSMC_BAD_FILE, "%s is %s; %s", path, kinds[kind].what, instead.text);
}

/* ---- folders ------------------------------------------------------------------------------- */

/* Names in a folder by which it is known; the first row that fits counts. ? stands for any text. */
static const struct {
    const char *before, *after, *says; /* $ and @ as in kinds.def */
} names[] = {
    {"adapter_config", ".json",
     "it holds an adapter (LoRA), which changes another model: merge it into that model and give "
     "the result"                                                                            },
    {"pytorch_model-", ".bin",
     "$ is one of several files, and pytorch_model.bin.index.json, which says what each holds, "
     "belongs beside them"                                                                   },
    {"",               ".bin",         NULL                                                  },
    {"",               ".pth",         NULL                                                  },
    {"",               ".pt",          NULL                                                  },
    {"",               ".ckpt",        NULL                                                  },
    {"",               ".gguf",        NULL                                                  },
    {"",               ".h5",          NULL                                                  },
    {"",               ".npz",         NULL                                                  },
    {"",               ".safetensors",
     "$ holds weights: its config.json belongs beside it, or a YAML file says `weights: $`"  },
    {"",               ".msgpack",     "$ is of Flax: give the checkpoint as safetensors"    },
    {"",               ".onnx",        "$ is of ONNX: give the checkpoint as safetensors"    },
    {"snapshots",      "",
     "it is a folder of the hub's cache: give the one below @/snapshots that has config.json"},
};

static bool
name_fits(const char *name, size_t row)
{
    const size_t len = strlen(name), before = strlen(names[row].before);
    const size_t after = strlen(names[row].after);
    return name[0] != '.' && len >= before + after && (after || len == before) &&
           strncmp(name, names[row].before, before) == 0 &&
           strcmp(name + len - after, names[row].after) == 0;
}

/* The folder's name that fits the earliest row; of one row's the first by alphabet. malloc; NULL:
 * none. */
static char *
telling_name(const char *dir, size_t *row)
{
    char *best = NULL;
    DIR *entries = opendir(dir);
    *row = RT_COUNT(names);
    for (const struct dirent *e; entries && (e = readdir(entries)) != NULL;) {
        size_t r = 0;
        while (r < RT_COUNT(names) && !name_fits(e->d_name, r))
            r++;
        if (r > *row || r == RT_COUNT(names) || (r == *row && best && strcmp(e->d_name, best) >= 0))
            continue;
        free(best);
        best = strdup(e->d_name);
        *row = r;
    }
    if (entries)
        closedir(entries);
    return best;
}

ssmc_status
rt_folder_fault(const char *dir, const char *wanted)
{
    size_t row;
    char *name = telling_name(dir, &row);
    char *path = name ? rt_path_join(dir, name) : NULL;
    const RtKind kind = path ? rt_kind_of(path) : RT_KIND_other;
    Line says = {.len = 0};
    if (path && names[row].says) {
        line_form(&says, names[row].says, path);
    } else if (path && kind != RT_KIND_other) {
        line_form(&says, "$ is ", path);
        line_form(&says, kinds[kind].what, path);
        line_put(&says, "; ", 2);
        line_form(&says, kinds[kind].instead, path);
    }
    free(path);
    free(name);
    return rt_fail(SSMC_BAD_FILE, "%s has no %s%s%s", dir, wanted, says.len ? ": " : "", says.text);
}

/* ---- names on a hub ------------------------------------------------------------------------ */

static bool
is_folder(const char *path, size_t len)
{
    struct stat st;
    char *copy = len ? strndup(path, len) : strdup(".");
    const bool is = copy && stat(copy, &st) == 0 && S_ISDIR(st.st_mode);
    free(copy);
    return is;
}

const char *
rt_hub_name(const char *path)
{
    static const char *const hubs[] = {"https://huggingface.co/", "https://hf.co/",
                                       "huggingface.co/", "hf.co/", "hf://"};
    static const char *const suffixes[] = {".yaml", ".yml", ".so",   ".ir",  ".json",
                                           ".bin",  ".pt",  ".gguf", ".txt", ".safetensors"};
    struct stat st;
    if (stat(path, &st) == 0 || path[0] == '.' || path[0] == '~')
        return NULL;
    for (size_t i = 0; i < RT_COUNT(hubs); i++)
        if (strncmp(path, hubs[i], strlen(hubs[i])) == 0)
            return path + strlen(hubs[i]);
    const char *slash = strrchr(path, '/'), *org = slash;
    if (!slash || slash == path || !isalnum((unsigned char)slash[1]))
        return NULL;
    while (org > path && org[-1] != '/')
        org--;
    for (size_t i = 0; i < RT_COUNT(suffixes); i++) {
        const size_t len = strlen(path), n = strlen(suffixes[i]);
        if (len > n && strcmp(path + len - n, suffixes[i]) == 0)
            return NULL;
    }
    /* A folder of the organisation's name is a mistyped path. */
    const bool words = isalnum((unsigned char)*org) &&
                       !org[strspn(org, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                        "0123456789-_./")];
    const bool here = !is_folder(path, (size_t)(slash - path)) &&
                      (org == path || is_folder(path, (size_t)(org - path)));
    return words && here ? org : NULL;
}

ssmc_status
rt_hub_fault(const char *path)
{
    const char *name = rt_hub_name(path);
    const size_t org = strcspn(name, "/");
    const char *last = name[org] ? name + org + 1 : name;
    const int len = (int)strcspn(last, "/:@?#"), all = (int)(last - name) + len;
    /* A description's path has been made absolute: how it was written is not known. */
    return rt_fail(
        SSMC_IO,
        "cannot open %s: No such file or directory; if %.*s is a name on the Hugging Face "
        "hub, `huggingface-cli download %.*s --local-dir %.*s` makes a directory %.*s "
        "to give instead",
        path, all, name, all, name, len, last, len, last);
}
