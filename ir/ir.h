/* ir/ir.h -- the graph: values, nodes, kernels, its text form, verifier and interpreter.
 *
 * A Graph is a list of SSA nodes over [T,width] matrices. T (tokens) and R (picked rows) are
 * symbolic: one graph serves every length. Three stages: MODEL (what the description says), LOWERED
 * (ssd has its form), KERNEL (every node that makes code belongs to a kernel and every value has a
 * place). Everything here is memory of the graph's arena and freed with it. */
#ifndef SSMC_IR_H
#define SSMC_IR_H

#include "ir/diag.h"
#include "ir/util.h"

enum { IR_MAX_RANK = 6, IR_MAX_IN = 8, IR_MAX_OUT = 8, IR_MAX_PIECES = 64 };
enum { IR_MAX_NUMS = 512 };        /* of an attribute that is a list */
enum { IR_MAX_CHOICES = 1 << 16 }; /* rows for each token */
/* Inputs of a weight packed with dot=bf16x3 that lie together: so many high parts, then low ones.
 */
enum { IR_TRIPLE_STEP = 32 };

/* ---- types ------------------------------------------------------------------------------ */

typedef enum {
#define TYPE(id, text, bytes, st, is_float, doc) DTYPE_##id,
#include "ir/types.def"
#undef TYPE
    DTYPE_COUNT
} Dtype;

typedef struct {
    const char *name;
    int bytes;
    const char *safetensors;
    bool is_float;
    const char *doc;
} DtypeInfo;
extern const DtypeInfo dtype_info[DTYPE_COUNT];
bool dtype_by_name(const char *name, size_t len, Dtype *out);

/* What projections multiply in. */
typedef enum {
#define FORMAT(id, reals, bits, group, block, tolerance, doc) FORMAT_##id,
#include "ir/formats.def"
#undef FORMAT
    FORMAT_COUNT
} Format;

typedef struct {
    const char *name;
    Dtype reals;
    int bits;
    int64_t group, block;
    double tolerance;
    const char *doc;
} FormatInfo;
extern const FormatInfo format_info[FORMAT_COUNT];
bool format_by_name(const char *name, size_t len, Format *out);

/* Blocks that a weight lies in. */
typedef enum {
    BLOCKS_none,
#define BLOCKS(id, bits, group, scales) BLOCKS_##id,
#include "ir/blocks.def"
#undef BLOCKS
    BLOCKS_COUNT
} WeightBlocks;

typedef struct {
    const char *name;
    int bits;
    int64_t group;
    Dtype scales;
} BlocksInfo;
extern const BlocksInfo blocks_info[BLOCKS_COUNT];
bool blocks_by_name(const char *name, size_t len, WeightBlocks *out);

typedef enum {
    DIM_CONST,   /* n */
    DIM_TOKENS,  /* T: token rows of this call */
    DIM_ROWS,    /* R: rows whose logits are asked for */
    DIM_CHOICES, /* T*n: n rows for each token, one after the other */
    DIM_CHUNKS,  /* ceil(T / n) chunks of n tokens; n = 0: one chunk over all tokens */
    DIM_CHUNK,   /* n columns of a chunk; n = 0: as many as there are tokens (the chunk `all`) */
    DIM_KEPT     /* S: tokens that a sequence has read, those of this call among them */
} DimKind;

typedef struct {
    DimKind kind;
    int64_t n;
} Dim;

typedef struct {
    int rank; /* 0: a number */
    Dim dim[IR_MAX_RANK];
} Shape;

typedef struct {
    Dtype dtype;
    Shape shape;
} Type;

/* Text of dimensions: 256, T, R, T*6, ceil(T/64), ceil(T/all), Q=all. */
bool dim_equal(Dim a, Dim b);
bool shape_equal(const Shape *a, const Shape *b);
bool type_equal(const Type *a, const Type *b);
void type_print(StrBuf *out, const Type *type);        /* f32[T,256] */
const char *type_name(Arena *arena, const Type *type); /* that text, in the arena */
Type type_const(Dtype dtype, int rank, const int64_t *dims);
Type type_rows(Dtype dtype, DimKind rows, int64_t width); /* [T,width] or [R,width] */
Type type_rows_of(Dtype dtype, Dim rows, int64_t width);  /* [rows,width] */
bool dim_is_rows(Dim dim);                                /* T, R or T*n */
int64_t type_choices(const Type *type); /* rows for each token: n of [T*n,W], else 1 */
int64_t type_width(const Type *type); /* constant last dimension; die()s if symbolic; 1 at rank 0 */
int64_t dim_count(Dim dim, int64_t tokens, int64_t rows); /* its length when T = tokens, R = rows */
/* Elements when T = tokens and R = rows. False on overflow. */
bool type_count(const Type *type, int64_t tokens, int64_t rows, int64_t *out);

/* ---- attributes ------------------------------------------------------------------------- */

typedef enum {
#define ATTR(id, kind, doc) ATTR_##id,
#include "ir/attrs.def"
#undef ATTR
    ATTR_COUNT
} AttrId;

typedef enum { AK_INT, AK_NUM, AK_INTS, AK_NUMS, AK_WORD, AK_CHUNK } AttrKind;

typedef struct {
    const char *name;
    AttrKind kind;
    const char *doc;
} AttrInfo;
extern const AttrInfo attr_info[ATTR_COUNT];

enum { CHUNK_AUTO = -1, CHUNK_ALL = 0 };

typedef struct {
    AttrId id;
    int64_t i;        /* INT, CHUNK */
    double num;       /* NUM */
    const char *word; /* WORD */
    int count;        /* INTS, NUMS */
    const int64_t *ints;
    const double *nums;
} Attr;

/* Attributes sorted by id; at most one of each. */
typedef struct {
    int count, cap;
    Attr *items;
} AttrList;
const Attr *attrs_find(const AttrList *list, AttrId id);
void attrs_set(Arena *arena, AttrList *list, Attr attr); /* adds or replaces; keeps order */
void attrs_remove(AttrList *list, AttrId id);
void attrs_print(StrBuf *out, const AttrList *list); /* " {eps=1e-05, groups=2}" or "" */

/* ---- op table --------------------------------------------------------------------------- */

typedef enum {
#define OP(id, in, out, cls, stages, shape, work, kernel, attrs, flags, doc) OP_##id,
#include "ir/ops.def"
#undef OP
    OP_COUNT
} Op;

typedef enum {
    CLASS_POINTWISE,
    CLASS_ROWWISE,
    CLASS_CONTRACT,
    CLASS_RECURRENT,
    CLASS_CONV,
    CLASS_ATTEND,
    CLASS_GATHER,
    CLASS_VIEW,
    CLASS_LAYOUT
} OpClass;

typedef enum { STAGE_MODEL, STAGE_LOWERED, STAGE_KERNEL } Stage;
extern const char *const stage_name[3]; /* model lowered kernel */

typedef struct Graph Graph;
typedef struct Node Node;
typedef struct Value Value;
typedef struct Kernel Kernel;
typedef struct RefCall RefCall; /* ir/ref.h: one call of a reference */

/* Result types from operands and attributes. False: *why says which rule is broken, with the
 * numbers, and *operand which operand is at fault (-1: none in particular). */
typedef struct {
    Arena *arena;
    Type out[IR_MAX_OUT];
    int nout;
    Type state; /* what the state operand must be, of an op that has one */
    int operand;
    const char *why;
} ShapeResult;
typedef bool ShapeRule(const Node *node, ShapeResult *result);

/* What one row of a node's results takes. */
typedef struct {
    double macs; /* multiply-adds */
    double exps; /* exponentials */
} OpWork;
typedef OpWork WorkRule(const Node *node, int64_t block); /* block: rows of a chunk over all rows */

typedef struct {
    const char *name;
    const char *operands; /* letters as in ops.def */
    const char *results;
    OpClass cls;
    const char *stages;
    ShapeRule *shape;
    WorkRule *work;
    Op kernel; /* what a kernel with this anchor counts as */
    const char *attrs;
    const char *flags;
    void (*ref)(RefCall *call);
    const char *doc;
} OpInfo;
extern const OpInfo op_info[OP_COUNT];
extern const char *const class_name[]; /* POINTWISE ... by OpClass */

bool op_by_name(const char *name, size_t len, Op *out);
bool op_has_flag(Op op, char flag);
bool op_in_stage(Op op, Stage stage);
bool op_takes_attr(Op op, AttrId id, bool *required);
/* Operand slot i of op: its letter, whether it may be missing. False when there is no slot i. */
bool op_operand(Op op, int i, char *letter, bool *optional);
int op_slot(Op op, char letter); /* the first with that letter; -1: there is none */
bool op_has_state(Op op);
bool op_has_forms(Op op); /* of which a pass chooses one */

/* ---- entries ------------------------------------------------------------------------------- */

typedef enum {
#define ENTRY(id, tokens, doc) ENTRY_##id,
#include "ir/entries.def"
#undef ENTRY
    ENTRY_COUNT
} EntryId;

typedef struct {
    const char *name;
    int64_t tokens;
    const char *doc;
} EntryInfo;
extern const EntryInfo entry_info[ENTRY_COUNT];
const EntryInfo *entry_by_name(const char *name); /* NULL: there is none */

/* ---- inputs --------------------------------------------------------------------------------- */

typedef enum {
#define INPUT(name, rows, op, doc) INPUT_##name,
#include "ir/inputs.def"
#undef INPUT
    INPUT_COUNT
} InputId;

typedef struct {
    const char *name;
    Type type; /* i32[T] or i32[R] */
    Op op;     /* OP_COUNT: none */
    const char *doc;
} InputInfo;
extern const InputInfo input_info[INPUT_COUNT];

/* ---- values, nodes, kernels, graph ------------------------------------------------------- */

typedef enum {
    VALUE_INPUT,  /* of inputs.def */
    VALUE_WEIGHT, /* a tensor of the checkpoint, in its stored type */
    VALUE_STATE,  /* one per sequence; zero at the start */
    VALUE_NUMBER, /* a literal */
    VALUE_RESULT  /* made by a node */
} ValueKind;

/* Where a value lives once memory is planned. */
typedef enum {
    SPACE_NONE,   /* not placed (yet), or only in registers of its kernel */
    SPACE_SLAB,   /* activation slab of a session */
    SPACE_PARAM,  /* made once when weights are loaded */
    SPACE_WEIGHT, /* the mapped checkpoint */
    SPACE_STATE,  /* per sequence */
    SPACE_KEPT,   /* per sequence and token: rows of growing states; offset: bytes of a token */
    SPACE_INPUT,  /* of inputs.def */
    SPACE_OUTPUT, /* of the graph */
    SPACE_COUNT
} Space;
extern const char *const space_name[]; /* none slab param weight state kept input output */

typedef struct {
    Space space;
    int64_t offset; /* bytes from the start of the space */
    int64_t stride; /* elements from one row to the next */
} Place;

struct Value {
    ValueKind kind;
    int id; /* dense in the graph */
    const char *name;
    Type type;
    double number;      /* VALUE_NUMBER */
    Node *def;          /* VALUE_RESULT */
    int result;         /* which result of def */
    int uses;           /* operand slots that name it, plus 1 if it is a graph output */
    const char *tensor; /* VALUE_WEIGHT: its name in the checkpoint; before it is bound, spellings
                         * separated by |, of which the first that the checkpoint has counts */
    const char *init; /* VALUE_WEIGHT: rule that fills it without a checkpoint (runtime/init.def) */
    WeightBlocks
        blocks;    /* VALUE_WEIGHT: what its tensor lies in; its type says what that stands for */
    bool is_param; /* a weight, a number, or made of such only */
    Place place;
    SrcLoc loc;
};

struct Node {
    Op op;
    int id; /* dense in the graph */
    int nin, nout;
    Value *in[IR_MAX_IN]; /* a missing optional operand is NULL */
    Value *out[IR_MAX_OUT];
    AttrList attrs;
    Kernel *kernel; /* KERNEL stage: the kernel it belongs to; NULL for views */
    SrcLoc loc;
    Node *prev, *next;
};

/* A run of consecutive nodes compiled as one function. Inputs are values used inside and made
 * outside; outputs are values made inside and used outside. */
struct Kernel {
    int id;
    const char *name; /* in_proj, conv, ssd ...: names the function for people */
    Node *anchor;     /* the op the emitter is chosen by; NULL: a pure pointwise kernel */
    AttrList attrs;   /* tile, part */
};

struct Graph {
    Arena *arena; /* arena: owns everything below */
    const char *name;
    Stage stage;
    /* Where numbers come from; NULL when unknown. */
    const char *weights_path;   /* path of a file of tensors or a directory, or "init:reference" */
    const char *tokenizer_path; /* path of a tokenizer.json */
    const int32_t *eos;         /* ids that end a text, neos of them */
    int neos;
    int64_t seed;           /* of init:reference */
    int64_t block;          /* most token rows of one pass over the layers (T is at most this) */
    int64_t rows;           /* most picked rows of one pass over the head (R is at most this) */
    const EntryInfo *entry; /* whose program it becomes; NULL: it is a model's, of all entries */
    /* What compiled programs carry: graph_identity of the graph this one was made of, and what it
     * is compiled to multiply in ("bf16"; NULL: unknown). Not printed: a text is a model of
     * its own. */
    uint64_t identity;
    const char *numerics;

    Node *first, *last;
    int nnode_ids, nvalue_ids;

    Value **inputs, **weights, **states, **outputs;
    int ninputs, nweights, nstates, noutputs;
    int cap_inputs, cap_weights, cap_states, cap_outputs;
    Kernel **kernels;
    int nkernels, cap_kernels;
    struct NameTable *names; /* every value but numbers by name; ir/names.c */

    /* Memory plan (bytes). */
    int64_t slab_bytes, param_bytes, state_bytes, output_bytes;
    int64_t kept_bytes; /* for each token of a sequence */
};

Graph *graph_new(Arena *arena, const char *name);
Graph *graph_copy(Arena *arena, const Graph *from);
Value *graph_input(Graph *g, const char *name, Type type, SrcLoc loc);
bool graph_has_runs(const Graph *g); /* a call may have several tokens of one sequence */
Value *graph_find_input(const Graph *g, InputId id); /* NULL: it reads none of these */
const InputInfo *value_input(const Value *v); /* NULL: it is no input that a graph may have */
Value *graph_weight(Graph *g, const char *name, Type type, const char *tensor, const char *init,
                    SrcLoc loc);
Value *graph_state(Graph *g, const char *name, Type type, SrcLoc loc);
Value *graph_number(Graph *g, double number);            /* f32 of rank 0 */
Value *graph_find(const Graph *g, const char *name);     /* by name; NULL */
bool name_is_made_up(const char *name);                  /* t1, t2 ...: made up by the compiler */
void graph_rename(Graph *g, Value *v, const char *name); /* a name already taken gets a suffix */
bool name_is_made_up(const char *name); /* t1, t2 ...: what graph_append makes without names */
void graph_output(Graph *g, Value *v);
/* Appends before `before` (NULL: at the end). Operand list has op's slots in order, NULL where an
 * optional one is missing; attrs are copied. Result types come from the shape rule; on a broken
 * rule returns NULL with the reason in *why (arena text) and nothing is added. names may be NULL
 * (fresh names t1, t2 ... are made); a name already taken gets a suffix. */
Node *graph_append(Graph *g, Node *before, Op op, int nin, Value *const *in, const AttrList *attrs,
                   const char *const *names, SrcLoc loc, ShapeResult *why);
/* As graph_append with one result, for passes: die()s where the shape rule is broken. */
Value *graph_build(Graph *g, Node *before, Op op, int nin, Value *const *in, const AttrList *attrs,
                   const char *name, SrcLoc loc);
void graph_set_operand(Graph *g, Node *node, int slot, Value *v);
void graph_set_attr(Graph *g, Node *node, Attr attr);
void graph_set_state_dtype(Value *state,
                           Dtype dtype); /* one that the shape rules of its ops allow */
/* Every use of `from` (operands and graph outputs) becomes `to`, except in the node that makes
 * `to`; `to` takes the name of `from` when both are results and `to` has a made-up name. */
void graph_replace(Graph *g, Value *from, Value *to);
void graph_remove(Graph *g, Node *node); /* no result may have a use */
void graph_move_before(Graph *g, Node *node, Node *before);
/* Equal for graphs that mean the same model, whatever their checkpoint and a compiler's choices. */
uint64_t graph_identity(const Graph *g);
int graph_node_count(const Graph *g);
int graph_remove_dead(Graph *g); /* pure nodes without uses, unused weights; returns how many */

int64_t node_int(const Node *n, AttrId id, int64_t otherwise);
double node_num(const Node *n, AttrId id, double otherwise);
Value *node_operand(const Node *n, char letter); /* as in ops.def; NULL: it has none */
/* Matrices in the weight of a projection, one for each expert; 0: all rows have the same one. */
int64_t node_experts(const Node *n);
/* Type of one of the matrices that such a weight, its scales or its minima hold; of a projection
 * without experts of v itself. */
Type node_matrix(const Node *n, const Value *v);
const char *node_word(const Node *n, AttrId id, const char *otherwise);
/* Whether it multiplies, or packs, numbers as sums of two bf16: dot=bf16x3. */
bool node_in_triples(const Node *n);
/* Whether it makes y from x, token after token, with a state: an SSD in any form, a scan. */
bool node_is_recurrence(const Node *n);
/* Channels of a head of the values that attention reads, and of what it gives. */
int64_t node_value_dim(const Node *attention);
/* Whether it is a delta whose state decays by a number for each channel of a key, not one for each
 * head. */
bool node_decays_by_channel(const Node *n);
/* Whether it is made by chunks: a part of a lowered SSD (flag S), or its form says so. */
bool node_by_chunks(const Node *n);
/* Whether a state of this type has a row for each token of its sequence. */
bool type_grows(const Type *type);
/* Whether a norm's weight has a factor for each column of a group, those of each group alike. */
bool node_factors_repeat(const Node *n);
/* Whether its result is what its state holds (flag A). */
bool node_gives_state(const Node *n);
/* Whether its result is its one operand in a type of fewer bytes. */
bool node_narrows(const Node *n);
/* Whether it runs in the epilogue of the projection that makes its x, or what x is a cast of to
 * fewer bytes (flag E). */
bool node_in_epilogue(const Node *n);
int64_t node_taps(const Node *conv); /* K of a convolution, whose weight is [C,1,K] or [K,C] */
/* Of an op angles: radians that a token turns pair number `pair`, and what cosines and sines are
 * multiplied by. */
double angle_frequency(const Node *node, int64_t pair);
double angle_scale(const Node *node);
Attr attr_int(AttrId id, int64_t i); /* INT and CHUNK */
Attr attr_word(AttrId id, const char *word);

Kernel *graph_kernel(Graph *g, const char *name);
/* Whether it may be its kernel's anchor: it is not pointwise and in no epilogue. */
bool node_anchors(const Node *n);
/* What the anchor of a kernel is by definition: the last of its nodes that may be (chunk_out of an
 * S group), or NULL. Verified, and not printed. */
Node *kernel_find_anchor(const Graph *g, const Kernel *k);
/* What runs in the epilogue of its projection beside pointwise ops; NULL: nothing does. */
const Node *kernel_epilogue(const Graph *g, const Kernel *k);
/* What a kernel counts as: `kernel` of its anchor's row; OP_COUNT: pointwise alone. */
Op kernel_op(const Kernel *k);
bool kernel_on_unit(const Kernel *kernel); /* its products run on a matrix unit: unit=matrix */
/* First and last node of a kernel of a verified graph; NULL: it has none. */
void kernel_range(const Graph *g, const Kernel *k, Node **first, Node **last);
/* The value whose rows and columns a kernel's results have: its anchor's, or its last node's. */
const Value *kernel_domain(const Graph *g, const Kernel *k);
/* Whether every value of that shape, or of what runs in the epilogue, leaves the kernel in 16 bits
 * a number or fewer, and one does. The graph has been planned. */
bool kernel_rounds_results(const Graph *g, const Kernel *k);
/* A kernel is what its last node is. */
bool node_is_init(const Node *node); /* makes parameters: run once at load */
bool node_is_head(const Node *node); /* its rows are R */
bool kernel_is_init(const Graph *g, const Kernel *k);
bool kernel_is_head(const Graph *g, const Kernel *k);

/* ---- text form ---------------------------------------------------------------------------- */

void graph_print(StrBuf *out, const Graph *g);
void node_print(StrBuf *out, const Node *n); /* one line, no newline */
/* Text -> graph; faults go to diag and the result is then NULL. source must outlive the graph. */
Graph *graph_parse(Arena *arena, const Source *source, Diag *diag);

/* One statement of the text form in a block: `u = rmsnorm(h, norm.weight) {eps}`. The names in it
 * are looked up, and nested calls and the infix + - * become nodes, through this context. */
typedef struct ParseScope ParseScope;
struct ParseScope {
    Graph *graph;
    Diag *diag;
    void *user;
    /* Value of a name, or NULL (the parser then says unknown name, with suggest's nearest). A name
     * of an absent optional weight sets *absent and returns NULL. */
    Value *(*lookup)(ParseScope *scope, const char *name, SrcLoc loc, bool *absent);
    const char *(*suggest)(ParseScope *scope, const char *name);
    /* `name = ...` (re)binds a name to a value. */
    void (*define)(ParseScope *scope, const char *name, Value *value, SrcLoc loc);
    /* Number of a name or arithmetic expression in an attribute ({eps}, sizes=[inner, inner +
     * 2*bc]). False: it has said why. */
    bool (*number)(ParseScope *scope, const char *expr, size_t len, SrcLoc loc, double *out);
    /* A parameter that is a list or a word ({range=dt_limit}, {chunk}). False: not known. */
    bool (*param)(ParseScope *scope, const char *name, Attr *inout);
    /* The state operand of an op that has one (blocks do not name it); shape is what the op needs.
     */
    Value *(*state)(ParseScope *scope, Op op, const Type *type, SrcLoc loc);
    /* A call of something that is no op (the model frame's layers(h)); NULL: unknown op. */
    Value *(*call)(ParseScope *scope, const char *name, int nin, Value **in, SrcLoc loc);
};
bool statement_parse(ParseScope *scope, const Source *source, int line, int column,
                     const char *text, size_t len);

/* ---- checks and meaning -------------------------------------------------------------------- */

/* Reports every fault of the graph for its stage; never repairs. True: none. */
bool graph_verify(const Graph *g, Diag *diag);

/* Values of weights for the interpreter. */
typedef struct WeightSource WeightSource;
struct WeightSource {
    void *user;
    /* Stored elements of a weight, in weight->type.dtype, perhaps unaligned; NULL: it has none.
     * They are read as long as the interpreter lives. */
    const void *(*open)(void *user, const Value *weight);
};

/* Products with weights that were computed before: of the same numbers by the same weights. */
typedef struct InterpMemo InterpMemo;
InterpMemo *interp_memo_new(void);
void interp_memo_free(InterpMemo *memo);

typedef struct Interp Interp;
/* Interpreter of one sequence in float64, of a graph that verifies. Weights are read through
 * `source` as they are needed; states start at zero and are kept between calls of interp_run. */
Interp *interp_new(const Graph *g, const WeightSource *source);
/* From now on it takes products from there, and leaves its own; borrows. Interpreters that share
 * one read weights of one source, which are the same where their names are. */
void interp_use_memo(Interp *in, InterpMemo *memo);
void interp_free(Interp *in);
/* Runs T tokens; pick: R rows whose outputs are wanted. out: the first output, [R,width] doubles.
 * False: ids or pick out of range (nothing has changed then), a weight without values, no memory;
 * why says it (it lives as long as the interpreter). */
bool interp_run(Interp *in, const int32_t *ids, int64_t tokens, const int32_t *pick, int64_t rows,
                double *out, const char **why);
/* State by name after the calls so far, or NULL; *count elements. */
const double *interp_state(const Interp *in, const char *name, int64_t *count);

/* bf16 and f16 by bits; to bf16 rounds to nearest even and keeps NaNs. */
float bf16_to_f32(uint16_t bits);
uint16_t f32_to_bf16(float value);
float f16_to_f32(uint16_t bits);
uint16_t f32_to_f16(float value);

#endif
