/* passes/internal.h -- private to passes/: what manager, pipeline and pass files share. */
#ifndef SSMC_PASSES_INTERNAL_H
#define SSMC_PASSES_INTERNAL_H

#include "machine/product.h"
#include "machine/tile.h"
#include "passes/pass.h"

/* ---- check.c: --check-each -------------------------------------------------------------- */

typedef struct Checker Checker;
/* Interprets g as it is now. NULL: it cannot be interpreted; cx->diag has the reason. */
Checker *checker_new(const Graph *g, PassCtx *cx, const WeightSource *weights);
/* Interprets g after a pass, writes a line to `out` and compares the next pass with the new
 * numbers. False: the pass changed the numbers; cx->diag names it. */
bool checker_after(Checker *checker, const Graph *g, PassId pass, StrBuf *out);
void checker_free(Checker *checker);

/* ---- rules.c: the algebraic rules of canon ---------------------------------------------- */

/* What takes the place of n's result; NULL: the rule does not match. */
typedef Value *CanonRule(Graph *g, Node *n);
extern CanonRule *const canon_rules[];
extern const int canon_rule_count;

/* ---- forward.c: what took a value's place, while a pass walks from first to last -------- */

typedef struct {
    Graph *g;
    Arena *arena;
    Value **to; /* by value id; NULL: nothing */
    int cap;
} Forward;
Forward forward_new(Graph *g, Arena *arena);
/* `to` stands for `from` from here on, and takes its name when its own is made up. */
void forward_put(Forward *f, Value *from, Value *to);
bool forward_done(const Forward *f, const Value *v); /* something stands for v */
void forward_operands(const Forward *f, Node *n);    /* gives n its operands of today */
void forward_outputs(const Forward *f);              /* gives the graph its outputs of today */

/* ---- fuse_name.c ------------------------------------------------------------------------ */

/* A name for people: in_proj, conv1d, ssd, gate_norm, pack_in_proj. nodes: those of the kernel. */
const char *fuse_name(Graph *g, Node *const *nodes, int count, const Node *anchor);
void fuse_explain(PassCtx *cx, const char *name, Node *const *nodes, int count);

/* ---- query.c ------------------------------------------------------------------------------- */

/* The blocks that a projection's weight lies in and is multiplied in: those of a weight, of which
 * the format has as many bits, or of rows of it in another order. BLOCKS_none: it becomes what the
 * format says. */
WeightBlocks blocks_of(const Value *w); /* that it lies in, or what it is made of by turning rows */
WeightBlocks blocks_kept(const PassCtx *cx, const Value *w);

/* Whether the machine is a GPU that multiplies chunks by products of four warps, in whose registers
 * the state of `ssd` has room. */
bool ssd_fits_groups(const Machine *machine, const Node *ssd);

/* What makes v before it is kept in fewer bytes, in a graph of runs: v, or what v is a cast of. */
Value *before_kept(const Graph *g, Value *v);
/* Whether the convolution can run in the epilogue of a GPU's projection: of runs where its tiles
 * have room for it. */
bool conv_has_room(const PassCtx *cx, const Graph *g, const Node *conv, const Node *linear);
/* What a GPU multiplies the projection n by, unless a text says otherwise, with the convolution in
 * its epilogue (NULL: none). product NULL: nothing has room for that. */
ProductChoice product_of(const PassCtx *cx, const Graph *g, const Node *n, const Node *conv);

/* ---- panel.c: panels of packed weights ----------------------------------------------------- */

typedef struct {
    int64_t vectors; /* of f32 results in a panel */
    int64_t rows;    /* of a register tile beside it */
} Panel;
/* A weight as it is packed. What is chosen for it depends on nothing else, so that prefill and
 * decode share it. */
typedef struct {
    Dtype dtype;
    int64_t inputs, columns; /* K, O */
    int64_t group;           /* inputs that share scales; 0: all of a row */
    bool triples;            /* bf16 that are parts of f32: dot=bf16x3 */
} PanelWeight;
/* The weight that the projection n reads, packed as dtype. */
PanelWeight panel_weight(const Node *n, Dtype dtype);
/* Whether the machine's matrix unit multiplies it: it can (of integers whole products, or halves,
 * add up to a group), and that is predicted to be faster than vectors. */
bool panel_unit(const Machine *m, const PanelWeight *w);
/* Seconds that a token of many is predicted to take, on one thread. */
double panel_predict(const Machine *m, const PanelWeight *w, bool matrix);
Panel panel_for(const Machine *m, const PanelWeight *w);
/* Of every candidate: its columns, and the GFLOP/s of panel.def that are left when padding is taken
 * off; or what is predicted of a matrix unit and of vectors. For `ssmc explain`. */
void panel_print(StrBuf *out, const Machine *m, const PanelWeight *w);
/* Rows of the tile beside a panel of so many vectors. */
int64_t panel_rows(const Machine *m, const PanelWeight *w, int64_t vectors);

/* ---- cost.c -----------------------------------------------------------------------------------
 */

/* Of so many vectors that a thread's part of a kernel reads and writes, those that are not in its
 * core's second-level cache: what the other threads wrote before, and of its own what is more than
 * the cache holds, all of it from twice as much on. */
double cost_away(const Machine *m, double vectors, int64_t threads);

/* ---- cost_matrix.c -------------------------------------------------------------------------- */

/* A projection on the matrix unit, of one thread. */
typedef struct {
    Dtype weight;
    int64_t inputs, group; /* inputs that share scales; 0: all */
    bool triples;          /* bf16 that are parts of f32: dot=bf16x3 */
    bool in_place;         /* x is multiplied where it lies */
    int64_t rows;
    double panels;
} CostMatrix;
/* A chunk of an SSD on the matrix unit: so many heads and groups of a thread go through it. */
typedef struct {
    int64_t tokens, chunk; /* q; Q, as scratch is cut */
    int64_t head_dim, state, block;
    double heads, groups;
    double steep; /* share of chunks whose decay is */
    bool solves;  /* what it writes is solved for (op flag V) */
} CostChunk;
void cost_count_chunk(const Machine *m, const CostChunk *z, double count[COST_TERMS]);
void cost_count_matrix(const Machine *m, const CostMatrix *l, double count[COST_STEPS]);
/* Attention of `rows` tokens of a sequence that has had `past`. */
typedef struct {
    int64_t heads, groups, head_dim, value_dim;
    int64_t window; /* 0: none */
    bool bf16;      /* keys and values are kept so */
    bool widened;   /* and become f32 */
    bool unit;      /* on the matrix unit */
    bool single;    /* tokens one after the other, whose past threads divide */
    int64_t past, rows;
    double threads;
} CostAttention;
void cost_count_attention(const Machine *m, const CostAttention *z, double count[COST_STEPS]);

/* ---- lower_ssd.c ---------------------------------------------------------------------------- */

/* Tokens of a recurrence whose B, C, x and y stay in the first-level cache with a head's state: 32
 * beat 16 and 64 (bench/NOTES.md, "SSD on Zen 5"). */
enum { SSD_WINDOW = 32 };

/* ---- query.c: what passes ask about nodes and values ------------------------------------ */

OpClass node_class(const Node *n);
bool node_flag(const Node *n, char flag);
/* The weight that n multiplies by, a contraction's; NULL: n is no projection. */
Value *node_weight(const Node *n);
bool node_is_packed(const Node *n); /* a projection by a packed weight */
/* The value whose memory v addresses: v itself unless a view made it. */
Value *view_root(Value *v);
/* The checkpoint's weight that a param expression is made from; NULL: none. */
const Value *param_weight(const Value *v);
/* layers.0.mixer.in_proj.weight -> in_proj. */
const char *name_stem(Arena *arena, const char *name);
/* The option of the command line where it says something, else the attribute, else `table`. */
const char *choose_word(const char *option, const Node *n, AttrId id, const char *table);
/* The node that alone reads v; NULL: none does, or several. */
Node *sole_reader(const Value *v);
bool asks_triples(const PassCtx *cx); /* dot=bf16x3 is asked for of every linear */
/* v as element type `to`, cast before `before` where it has another. */
Value *value_as(Graph *g, Node *before, Value *v, Dtype to);

#endif
