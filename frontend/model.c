/* frontend/model.c -- the way in: a YAML file or checkpoint directory, with overrides, to a graph.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "frontend/build.h"
#include "frontend/gguf.h"

typedef struct {
    Arena *arena;
    Diag *diag;
    const char *dir; /* paths in the file are relative to this */
    const Source *source;
    Tree *root;
    FeValue keys[KEY_COUNT];
    BlockSet blocks;
    TensorNames tensors;
    const char **block_files; /* nblock_files of room for block_cap */
    int nblock_files, block_cap;
} Loader;

/* ---- paths ---------------------------------------------------------------------------------- */

static bool
is_directory(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* The folder of a path, without the last slash. */
static const char *
folder_of(Arena *arena, const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return ".";
    return slash == path ? "/" : arena_strndup(arena, path, (size_t)(slash - path));
}

static const char *
last_part(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static const char *
absolute(Arena *arena, const char *path)
{
    char *real = realpath(path, NULL);
    if (!real)
        return path;
    const char *copy = arena_strdup(arena, real);
    free(real);
    return copy;
}

/* An absolute path of what a key names: relative to the file, or for an option to the working
 * directory. */
static const char *
key_path(const Loader *l, const Tree *t)
{
    const char *dir = t->loc.source == l->source ? l->dir : ".";
    if (t->text[0] == '/')
        return absolute(l->arena, t->text);
    const char *joined = arena_printf(l->arena, "%s/%s", dir, t->text);
    const char *path = absolute(l->arena, joined);
    if (path[0] == '/')
        return path;
    return arena_printf(l->arena, "%s/%s", absolute(l->arena, dir), t->text); /* not there yet */
}

/* The path of a key's file, with a link left unresolved: files beside the link belong to the model.
 */
static const char *
key_link(const Loader *l, const Tree *t)
{
    const char *dir = t->text[0] == '/' ? "" : t->loc.source == l->source ? l->dir : ".";
    const char *path = *dir ? arena_printf(l->arena, "%s/%s", dir, t->text) : t->text;
    const char *folder = absolute(l->arena, folder_of(l->arena, path));
    return arena_printf(l->arena, "%s%s%s", folder, folder[strlen(folder) - 1] == '/' ? "" : "/",
                        last_part(path));
}

/* The file's name without what follows the last dot. */
static const char *
stem(Arena *arena, const char *path)
{
    const char *name = last_part(path);
    const char *dot = strrchr(name, '.');
    return dot && dot > name ? arena_strndup(arena, name, (size_t)(dot - name)) : name;
}

/* ---- the tree ------------------------------------------------------------------------------- */

static bool
read_text(Loader *l, const Source *source)
{
    l->source = source;
    l->root = yaml_parse(l->arena, source, l->diag);
    l->dir = folder_of(l->arena, source->path);
    if (!l->root)
        return false;
    if (l->root->kind == TREE_MAP)
        return true;
    return diag_error(l->diag, l->root->loc,
                      "a model is a map of keys such as vocab, dim and layers; this is %s",
                      tree_text(l->arena, l->root));
}

const char *
fe_config_path(Arena *arena, const char *dir)
{
    const char *config = arena_printf(arena, "%s/config.json", dir);
    const char *params = arena_printf(arena, "%s/params.json", dir);
    return access(config, F_OK) != 0 && access(params, F_OK) == 0 ? params : config;
}

static bool
read_directory(Loader *l, const char *path)
{
    const char *config = fe_config_path(l->arena, path);
    if (access(config, R_OK) != 0)
        return diag_error(l->diag, (SrcLoc){0},
                          "%s is a directory without a config.json that can be read, "
                          "so it is no checkpoint",
                          path);
    const Source *source = source_read(l->arena, config, (SrcLoc){0}, l->diag);
    l->root = source ? family_import(l->arena, source, l->diag) : NULL;
    if (!l->root)
        return false;
    ends_add(l->arena, path, l->root, l->diag);
    const SrcLoc loc = l->root->loc;
    const char *dir = absolute(l->arena, path);
    static const char *const tokenizers[] = {"tokenizer.json", "tokenizer.model", "tekken.json",
                                             "tiktoken.model"};
    l->source = loc.source;
    l->dir = dir;
    tree_put(l->arena, l->root, "name", tree_scalar(l->arena, last_part(dir), loc));
    tree_put(l->arena, l->root, "weights", tree_scalar(l->arena, dir, loc));
    for (size_t i = 0; i < COUNT_OF(tokenizers); i++) {
        const char *tokenizer = arena_printf(l->arena, "%s/%s", dir, tokenizers[i]);
        if (access(tokenizer, R_OK) != 0)
            continue;
        tree_put(l->arena, l->root, "tokenizer", tree_scalar(l->arena, tokenizer, loc));
        break;
    }
    return true;
}

/* A GGUF file is a checkpoint in one file: description, weights and tokenizer. */
static bool
read_gguf(Loader *l, const char *path)
{
    bool tokenizer = false;
    const Source *source = gguf_config(l->arena, path, l->diag, false, &tokenizer);
    l->root = source ? family_import(l->arena, source, l->diag) : NULL;
    if (!l->root)
        return false;
    const SrcLoc loc = l->root->loc;
    const char *file = absolute(l->arena, path);
    l->source = loc.source;
    l->dir = folder_of(l->arena, file);
    tree_put(l->arena, l->root, "name", tree_scalar(l->arena, stem(l->arena, file), loc));
    tree_put(l->arena, l->root, "weights", tree_scalar(l->arena, file, loc));
    if (tokenizer)
        tree_put(l->arena, l->root, "tokenizer", tree_scalar(l->arena, file, loc));
    return true;
}

/* False: there is no tree. Faults of options are left in diag. */
static bool
load_tree(Loader *l, const char *path, const char *const *sets, int nsets)
{
    if (is_directory(path)) {
        if (!read_directory(l, path))
            return false;
    } else if (gguf_is(path)) {
        if (!read_gguf(l, path))
            return false;
    } else {
        const Source *source = source_read(l->arena, path, (SrcLoc){0}, l->diag);
        if (!source || !read_text(l, source))
            return false;
    }
    sets_apply(l->arena, l->root, sets, nsets, l->diag);
    return true;
}

/* ---- sections ------------------------------------------------------------------------------- */

/* The rows under a prefix; an absent section has its defaults. */
static bool
read_section(Arena *arena, const Tree *section, const char *prefix, Diag *diag, FeValue *keys)
{
    const Tree empty = {.kind = TREE_MAP};
    return keys_read(arena, section ? section : &empty, prefix, NULL, 0, diag, keys);
}

/* Chunks begin where a call begins, and BLAS sums as it likes for each size: only the recurrent
 * form and our own kernels give a token the same bits whatever it is read together with. */
static bool
reproducible(const FeValue *keys, Diag *diag, FeCompile *c)
{
    const struct {
        KeyId key;
        bool ok;
        const char *takes;
    } rules[] = {
        {KEY_compile_form, strcmp(c->form, "auto") == 0 || strcmp(c->form, "recurrent") == 0,
         "the recurrent form"},
        {KEY_compile_chunk, c->chunk == CHUNK_AUTO, "no chunks"},
        {KEY_compile_matmul, strcmp(c->matmul, "blas") != 0, "products that are emitted"},
    };
    bool ok = true;
    for (size_t i = 0; i < COUNT_OF(rules); i++) {
        if (rules[i].ok)
            continue;
        const FeValue *v = &keys[rules[i].key], *r = &keys[KEY_compile_reproducible];
        diag_error(diag, v->loc, "%s contradicts compile.reproducible, which takes %s",
                   key_spec[rules[i].key].name, rules[i].takes);
        diag_note(diag, r->loc, "compile.reproducible is given here");
        ok = false;
    }
    c->form = "recurrent";
    c->matmul = "emitted";
    return ok;
}

/* The unit multiplies bf16 triples for projections that are f32 otherwise, and OpenBLAS none. */
static bool
triples(const FeValue *keys, Diag *diag, const FeCompile *c)
{
    const struct {
        KeyId key;
        bool ok;
        const char *takes;
    } rules[] = {
        {KEY_compile_dtype, c->format == FORMAT_f32, "f32"},
        {KEY_compile_matmul, strcmp(c->matmul, "blas") != 0, "auto or emitted"},
    };
    bool ok = true;
    for (size_t i = 0; i < COUNT_OF(rules); i++) {
        if (rules[i].ok)
            continue;
        const FeValue *v = &keys[rules[i].key];
        diag_error(diag, v->loc, "%s = %s contradicts compile.dot = bf16x3, which takes %s",
                   key_spec[rules[i].key].name, v->text, rules[i].takes);
        diag_note(diag, keys[KEY_compile_dot].loc, "compile.dot is given here");
        ok = false;
    }
    return ok;
}

/* False: the keys do not fit together, as was said. */
static bool
compile_section(const FeValue *keys, Diag *diag, FeCompile *out)
{
    FeCompile c = {.chunk = keys[KEY_compile_chunk].i,
                   .form = keys[KEY_compile_form].text,
                   .matmul = keys[KEY_compile_matmul].text,
                   .dot = keys[KEY_compile_dot].text,
                   .blas = keys[KEY_compile_blas].text,
                   .matrix = keys[KEY_compile_matrix].text,
                   .device = keys[KEY_compile_device].text,
                   .cpu = keys[KEY_compile_cpu].text,
                   .group = keys[KEY_compile_group].i,
                   .block = keys[KEY_compile_block].i,
                   .threads = keys[KEY_compile_threads].i,
                   .reproducible = keys[KEY_compile_reproducible].flag};
    c.format_open = !keys[KEY_compile_dtype].given && strcmp(c.dot, "f32") == 0;
    const char *dtype = keys[KEY_compile_dtype].text;
    const char *state = keys[KEY_compile_state_dtype].text;
    if (!format_by_name(dtype, strlen(dtype), &c.format) ||
        !dtype_by_name(state, strlen(state), &c.state_dtype))
        die("keys.def: compile.dtype %s, compile.state_dtype %s", dtype, state);
    const char *kept = keys[KEY_compile_kept_dtype].text;
    c.kept_chosen = strcmp(kept, "auto") != 0;
    if (!c.kept_chosen)
        c.kept_dtype = format_info[c.format].reals;
    else if (!dtype_by_name(kept, strlen(kept), &c.kept_dtype))
        die("keys.def: compile.kept_dtype %s", kept);
    *out = c;
    bool ok = !c.reproducible || reproducible(keys, diag, out);
    if (strcmp(c.dot, "bf16x3") == 0)
        ok = triples(keys, diag, &c) && ok;
    if (c.group > 0 && c.group % 8 != 0)
        ok = diag_error(diag, keys[KEY_compile_group].loc,
                        "compile.group = %lld; expected a multiple of 8: packed weights have steps "
                        "of eight inputs",
                        (long long)c.group);
    return ok;
}

static void
read_weights_key(Loader *l, Graph *header)
{
    const FeValue *v = &l->keys[KEY_weights];
    if (!v->tree)
        return;
    if (v->tree->kind == TREE_SCALAR) {
        header->weights_path = key_path(l, v->tree);
        return;
    }
    if (v->tree->kind != TREE_MAP) {
        diag_error(l->diag, v->loc, "weights is %s; expected a path or {init: reference, seed: N}",
                   tree_text(l->arena, v->tree));
        return;
    }
    read_section(l->arena, v->tree, "weights.", l->diag, l->keys);
    header->weights_path = "init:reference";
    header->seed = l->keys[KEY_weights_seed].i;
}

/* The set of ids that end a text: an id that is given twice is in it once. */
static void
read_eos(const Loader *l, Graph *header)
{
    const FeValue *eos = &l->keys[KEY_eos], *vocab = &l->keys[KEY_vocab];
    int32_t *ids = arena_array(l->arena, (size_t)eos->count, sizeof *ids);
    header->eos = ids;
    for (int i = 0; i < eos->count; i++) {
        const int32_t id = (int32_t)eos->nums[i];
        if (!ids_have(ids, (size_t)header->neos, id))
            ids[header->neos++] = id;
        if (id < vocab->i)
            continue;
        diag_error(l->diag, eos->loc, "eos = %d, but the ids end at vocab - 1 = %lld", id,
                   (long long)vocab->i - 1);
        diag_also(l->diag, vocab->loc, "vocab is given here");
    }
}

/* ---- blocks and tensor names ----------------------------------------------------------------- */

static void
read_block(Loader *l, const Tree *item)
{
    if (item->kind != TREE_SCALAR) {
        blocks_add(&l->blocks, item, false);
        return;
    }
    const char *path = key_path(l, item);
    const Source *source = source_read(l->arena, path, item->loc, l->diag);
    VEC_PUSH(l->arena, l->block_files, l->nblock_files, l->block_cap, path);
    const Tree *tree = source ? yaml_parse(l->arena, source, l->diag) : NULL;
    if (tree)
        blocks_add(&l->blocks, tree, false);
}

static void
read_blocks(Loader *l)
{
    const FeValue *list = &l->keys[KEY_blocks];
    l->blocks = (BlockSet){.arena = l->arena, .diag = l->diag};
    blocks_add_built_in(&l->blocks);
    for (int i = 0; list->tree && !list->bad && i < list->tree->count; i++)
        read_block(l, list->tree->items[i]);
}

/* Without a family or names of its own a model's weights may be called as in any family. */
static void
read_tensors(Loader *l)
{
    const FeValue *family = &l->keys[KEY_family], *map = &l->keys[KEY_tensors],
                  *ignored = &l->keys[KEY_ignored];
    l->tensors = (TensorNames){.arena = l->arena, .own = !family->given && !map->tree};
    if (!map->bad && !ignored->bad)
        tensor_names_add(&l->tensors, map->tree, ignored->tree, l->diag);
    if (!family->bad && (family->given || !map->tree))
        tensor_names_add_family(&l->tensors, family->text, family->loc, l->diag);
}

/* ---- the model ------------------------------------------------------------------------------ */

/* Reads every section, also behind one that is at fault: all faults are said in one run. */
static void
read_sections(Loader *l, Graph *header, FeModel *out)
{
    keys_read(l->arena, l->root, "", NULL, 0, l->diag, l->keys);
    if (!l->keys[KEY_compile].bad &&
        read_section(l->arena, l->keys[KEY_compile].tree, "compile.", l->diag, l->keys))
        compile_section(l->keys, l->diag, &out->compile);
    if (!l->keys[KEY_weights].bad)
        read_weights_key(l, header);
    if (!l->keys[KEY_eos].bad && !l->keys[KEY_vocab].bad)
        read_eos(l, header);
    read_blocks(l);
    read_tensors(l);
}

static bool
build_model(Loader *l, const char *path, FeModel *out)
{
    Graph header = {0};
    read_sections(l, &header, out);
    const FeValue *name = &l->keys[KEY_name], *tokenizer = &l->keys[KEY_tokenizer];
    const ModelParts parts = {.name = name->given && !name->bad ? name->text : stem(l->arena, path),
                              .keys = l->keys,
                              .blocks = &l->blocks,
                              .tensors = &l->tensors};
    if (!model_build(l->arena, &parts, l->diag, out) || diag_errors(l->diag))
        return false;
    out->graph->weights_path = header.weights_path;
    out->graph->seed = header.seed;
    out->graph->eos = header.eos;
    out->graph->neos = header.neos;
    out->graph->tokenizer_path = tokenizer->given ? key_link(l, tokenizer->tree) : NULL;
    out->graph->block = out->compile.block;
    out->graph->rows = l->keys[KEY_compile_rows].i;
    out->ignored = l->tensors.ignored;
    out->ignored_notes = l->tensors.notes;
    out->nignored = l->tensors.nignored;
    out->block_files = l->block_files;
    out->nblock_files = l->nblock_files;
    out->complete = true;
    return true;
}

bool
fe_model_load(Arena *arena, const char *path, const char *const *sets, int nsets, Diag *diag,
              FeModel *out)
{
    Loader l = {.arena = arena, .diag = diag};
    *out = (FeModel){0};
    return load_tree(&l, path, sets, nsets) && build_model(&l, path, out);
}

bool
fe_model_parse(Arena *arena, const char *yaml, size_t len, const char *path,
               const char *const *sets, int nsets, Diag *diag, FeModel *out)
{
    Loader l = {.arena = arena, .diag = diag};
    Source *source = arena_alloc(arena, sizeof *source);
    *source = (Source){arena_strdup(arena, path), arena_strndup(arena, yaml, len), len};
    *out = (FeModel){0};
    if (!read_text(&l, source))
        return false;
    sets_apply(arena, l.root, sets, nsets, diag);
    return build_model(&l, path, out);
}

bool
fe_config_parse(Arena *arena, const char *json, size_t len, const char *path, Diag *diag,
                FeModel *out)
{
    Loader l = {.arena = arena, .diag = diag};
    Source *source = arena_alloc(arena, sizeof *source);
    *source = (Source){arena_strdup(arena, path), arena_strndup(arena, json, len), len};
    *out = (FeModel){0};
    l.source = source;
    l.dir = folder_of(arena, source->path);
    l.root = family_import(arena, source, diag);
    return l.root && build_model(&l, path, out);
}

bool
fe_import(Arena *arena, const char *dir, const char *untie, Diag *diag, StrBuf *yaml, FeModel *out)
{
    static const char *const order[] = {"name",           "vocab",  "dim",     "eps",
                                        "tie_embeddings", "eos",    "frame",   "layers",
                                        "attention",      "family", "weights", "tokenizer"};
    Loader l = {.arena = arena, .diag = diag};
    *out = (FeModel){0};
    if (!is_directory(dir) && !gguf_is(dir))
        return diag_error(diag, (SrcLoc){0},
                          "%s is no directory; import reads the config.json of one, or a GGUF file",
                          dir);
    if (!load_tree(&l, dir, &untie, untie != NULL) || !build_model(&l, dir, out))
        return false;
    Tree *sorted = tree_new(arena, TREE_MAP, l.root->loc);
    for (size_t i = 0; i < COUNT_OF(order); i++)
        if (tree_get(l.root, order[i]))
            tree_push(arena, sorted, tree_get(l.root, order[i]));
    tree_print(yaml, sorted);
    return true;
}

/* ---- the compile: section alone -------------------------------------------------------------- */

bool
fe_compile_load(Arena *arena, const char *const *sets, int nsets, Diag *diag, FeCompile *out)
{
    FeValue keys[KEY_COUNT] = {0};
    Tree *root = tree_new(arena, TREE_MAP, (SrcLoc){0});
    bool ok = sets_apply(arena, root, sets, nsets, diag);
    for (int i = 0; i < root->count; i++) {
        const Tree *t = root->items[i];
        if (strcmp(t->key, "compile") == 0)
            continue;
        diag_error(diag, t->key_loc,
                   "'%s' cannot be set here: the graph is fixed, only compile.* keys are open",
                   t->key);
        ok = false;
    }
    const Tree *section = tree_get(root, "compile");
    if (section && section->kind != TREE_MAP)
        return spec_read(arena, &key_spec[KEY_compile], section, diag, &keys[KEY_compile]);
    ok &= read_section(arena, section, "compile.", diag, keys);
    return ok && compile_section(keys, diag, out);
}
