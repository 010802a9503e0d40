/* frontend/frontend.h -- descriptions to graphs: YAML models, checkpoint directories. */
#ifndef SSMC_FRONTEND_FRONTEND_H
#define SSMC_FRONTEND_FRONTEND_H

#include "ir/ir.h"

/* The compile: section, with defaults filled in. */
typedef struct {
    Format format;      /* of projections: compile.dtype */
    bool format_open;   /* the user chose no dtype: f32, or stored for quantised blocks */
    int64_t group;      /* inputs that share a scale; 0: a whole row, -1: the format's own */
    Dtype state_dtype;  /* of SSD states: f32 or bf16 */
    Dtype kept_dtype;   /* of keys and values: f32 or bf16 */
    bool kept_chosen;   /* by the key, not by what weights are multiplied in */
    int64_t chunk;      /* CHUNK_AUTO, CHUNK_ALL or a length */
    const char *form;   /* auto, recurrent, chunked, quadratic */
    const char *matmul; /* auto, emitted, blas */
    const char *dot;    /* f32, bf16x3: what projections of f32 multiply */
    const char *blas;   /* auto, none: no projection may choose OpenBLAS */
    const char *device; /* cpu, cuda, a GPU of machine/gpus.def, model */
    const char *matrix; /* auto, none, model: what the CPU's matrix unit is used for */
    const char *cpu;    /* native or an LLVM CPU name */
    int64_t block;      /* tokens per pass over the layers; 0: the machine decides */
    int64_t threads;    /* 0: all cores */
    bool reproducible;  /* form and matmul say what it takes */
} FeCompile;

/* What the user wrote that something comes from. */
typedef struct {
    const char *name;
    SrcLoc loc;
} FeOrigin;
typedef struct {
    const FeOrigin *items;
    int count;
} FeOrigins;
/* Where the description of a weight comes from. */
typedef struct {
    const char *text;           /* of its shape, as its block has it: "[projected, dim]" */
    const char *block;          /* name */
    FeOrigins dim[IR_MAX_RANK]; /* of each size */
    FeOrigins when;             /* that it is there at all */
} FeShape;

/* A weight that the model lacks, because another serves in its place: the head of tied embeddings.
 */
typedef struct {
    const char *tensor; /* its spellings, as Value.tensor has them; NULL: there is no such weight */
    const char *served; /* name of the weight that serves */
    const char *untie;  /* the set that gives the model both */
    SrcLoc loc;         /* what the user wrote that leaves it out */
} FeTied;

typedef struct {
    Graph *graph; /* stage MODEL; every weight typed f32 until the checkpoint is looked at */
    FeCompile compile;
    const char *const *ignored; /* checkpoint tensors that may be there unused; nignored patterns */
    const char *const *ignored_notes; /* what is said where one of them is there; NULL: nothing */
    int nignored;
    FeTied tied;
    const char *const *block_files; /* that the description's own blocks came from */
    int nblock_files;
    bool complete; /* the description names every tensor of its checkpoint: others are faults */
    /* [graph->nweights] in their order, equal pointers for weights of equal layers; NULL: the graph
     * was read as a text */
    const FeShape *const *shapes;
} FeModel;

/* The file that describes a checkpoint's directory: config.json, or params.json where there is only
 * that. It may be neither. */
const char *fe_config_path(Arena *arena, const char *dir);
/* The config.json of the checkpoint that a GGUF file was made of, by its key-values (arena); false:
 * faults are in diag. *tokenizer: it has one inside. */
bool fe_gguf_config(Arena *arena, const char *path, Diag *diag, char **text, size_t *len,
                    bool *tokenizer);
/* The tokenizer in a GGUF file as the bytes of a file of its own (arena); false: faults are in
 * diag. */
bool fe_gguf_tokenizer(Arena *arena, const char *path, Diag *diag, char **bytes, size_t *len);
/* Where that is a tokenizer.model of SentencePiece: a tokenizer.json that does the same (arena);
 * NULL: it is none, or no tokenizer.json does. */
bool fe_gguf_pieces(Arena *arena, const char *path, Diag *diag, char **json, size_t *len);
/* Ids that its keys name for filling in the middle of a text, by TokInfillRole; -1: of that role
 * none. False: faults are in diag. */
bool fe_gguf_infill(const char *path, Diag *diag, int64_t *ids);
/* What else it says of its tokenizer (arena): tokenizer_config.json, with its templates of chats
 * where they have names; and the one without a name, chat_template.jinja. False: faults are in
 * diag. */
typedef struct {
    char *config, *text; /* NULL: there is none */
    size_t config_len, len;
} FeGgufChat;
bool fe_gguf_chat(Arena *arena, const char *path, Diag *diag, FeGgufChat *out);
/* MODEL as the command line takes it: a YAML file or a checkpoint directory (config.json). sets:
 * "key=value" overrides (dotted keys: compile.chunk=64, layers.0.state=32; layers.*.state=32 is
 * every layer whose block has such a parameter, layers.ssd.head_dim=32 of those with an op ssd).
 * False: faults are in diag. */
bool fe_model_load(Arena *arena, const char *path, const char *const *sets, int nsets, Diag *diag,
                   FeModel *out);
/* A model of the text of a YAML file, which is copied. */
bool fe_model_parse(Arena *arena, const char *yaml, size_t len, const char *path,
                    const char *const *sets, int nsets, Diag *diag, FeModel *out);
/* A model of the text of a config.json, which is copied, without the files beside it. */
bool fe_config_parse(Arena *arena, const char *json, size_t len, const char *path, Diag *diag,
                     FeModel *out);
/* The compile: section alone, for models that are text-form graphs: defaults, then the sets. Keys
 * outside compile: are refused. */
bool fe_compile_load(Arena *arena, const char *const *sets, int nsets, Diag *diag, FeCompile *out);
/* Whether a tensor's name is what a pattern of `ignored:` says: <i> is a number, * the rest. */
bool fe_pattern_fits(const char *pattern, const char *name);
/* The YAML that a checkpoint directory means, and the model that it is. untie: NULL, or what `tied`
 * of that model says, to give it a head of its own. Other overrides belong to whoever reads the
 * YAML: one of every layer (layers.ssd.head_dim=8) has no place in it. */
bool fe_import(Arena *arena, const char *dir, const char *untie, Diag *diag, StrBuf *yaml,
               FeModel *out);

/* The key table as text, for `ssmc help keys`. */
void fe_help_keys(StrBuf *out);

#endif
