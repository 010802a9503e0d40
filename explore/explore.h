/* explore/explore.h -- sweeps over sizes and choices: the table of their results, its file,
 * measuring many compiled points in turn, and what is shown of them. */
#ifndef SSMC_EXPLORE_H
#define SSMC_EXPLORE_H

#include "bench/bench.h"
#include "bench/json.h"

/* ---- rows (rows.c) --------------------------------------------------------------------------- */

typedef enum {
#define COLUMN(kind, id, doc) COLUMN_##id,
#include "explore/columns.def"
#undef COLUMN
    COLUMN_COUNT
} ColumnId;

typedef enum { COLUMN_INT, COLUMN_NUM, COLUMN_TEXT } ColumnKind;
typedef struct {
    const char *name; /* first: nearest_name reads it */
    ColumnKind kind;
    size_t offset; /* in ExploreRow */
    const char *doc;
} ColumnInfo;
extern const ColumnInfo column_info[COLUMN_COUNT];

typedef int64_t ExploreINT;
typedef double ExploreNUM;
typedef const char *ExploreTEXT;
typedef struct {
#define COLUMN(kind, id, doc) Explore##kind id;
#include "explore/columns.def"
#undef COLUMN
} ExploreRow;

/* What became of a point. */
extern const char explore_ok[];         /* it has numbers */
extern const char explore_unbuilt[];    /* the compiler refuses it */
extern const char explore_no_room[];    /* it takes more memory than there is */
extern const char explore_unmeasured[]; /* the run ended before it */

extern const char explore_no_form[]; /* of a model without an SSD: "none" */

enum { EXPLORE_MOST_ROWS = 1 << 16 };

ExploreRow explore_row(void); /* all empty */
bool explore_is_ok(const ExploreRow *row);
/* By the columns that say which point it is; 0: the same point. */
int explore_row_order(const void *a, const void *b);

typedef enum {
#define HEAD(id, same, doc) HEAD_##id,
#include "explore/head.def"
#undef HEAD
    HEAD_COUNT
} HeadId;
typedef struct {
    const char *name, *doc;
    bool same;
} HeadInfo;
extern const HeadInfo head_info[HEAD_COUNT];

/* Ceilings that are kept of BenchCeilings: in the file of results, in JSON, for people. */
enum { CEILING_COUNT = 10 };
typedef struct {
    const char *name, *key, *label;
    size_t offset; /* of a BenchSample */
} CeilingInfo;
extern const CeilingInfo ceiling_info[CEILING_COUNT];
const BenchSample *ceiling_of(const BenchCeilings *ceilings, int which);

typedef struct {
    Arena *arena;
    const char *head[HEAD_COUNT];
    BenchCeilings ceilings[BENCH_MAX_THREADS]; /* medians */
    int nceilings;
    ExploreRow *rows; /* arena */
    int nrows, cap;
} ExploreTable;

void explore_add(ExploreTable *table, const ExploreRow *row);
const ExploreRow *explore_find(const ExploreTable *table, const ExploreRow *key); /* NULL: none */

/* What the machine is, in words; memory that can be taken now. */
const char *explore_machine(Arena *arena, const Machine *machine);
int64_t explore_memory_free(void);

/* ---- the file of results (csv.c, file.c) ------------------------------------- */

/* The table as CSV, head and all; a row of it, with its line's end. */
void explore_put_csv(StrBuf *out, const ExploreTable *table);
void explore_put_line(StrBuf *out, const ExploreRow *row);
/* Reads what explore_put_csv writes; a last line that is cut short does not count. False: *why. */
bool explore_read_csv(const char *text, size_t len, ExploreTable *out, const char **why);

/* A file that grows by a row at a time; each is on the disk before the next is measured. */
typedef struct {
    const char *path;
    int fd;
    bool regular;
} ExploreFile;
/* Begins a file, or, with `resume`, goes on with the one that is there: its results are put in the
 * table, whose head says what they must be results of. False: *why, and nothing was changed;
 * *users: the file is at fault, not the system. */
bool explore_file_open(ExploreFile *file, const char *path, bool resume, ExploreTable *table,
                       const char **why, bool *users);
bool explore_file_add(ExploreFile *file, Arena *arena, const ExploreRow *row, const char **why);
/* The whole table in order in the file's place, which is closed. */
bool explore_file_end(ExploreFile *file, ExploreTable *table, const char **why);

/* Whether a page could be written there: nothing is changed. False: *why. */
bool explore_page_check(Arena *arena, const char *path, const char **why);

/* ---- measuring (measure.c) --------------------------------------------------------------- */

/* How late value i of n should be measured: 0 for both ends and the middle, then by halves. */
int explore_level(int i, int n);

/* A compiled point: `run` is described, and shares its probes with others; rows [nrows], one for
 * each prefill of its items in their order. */
typedef struct {
    BenchRun run;
    ExploreRow *rows;
    int nrows;
} ExploreCase;

/* How long to go on. */
typedef struct {
    int passes;          /* at most */
    double enough, over; /* times (rt_now): two passes will do; no more at all */
    bool (*stop)(void *user);
    void (*step)(void *user); /* after each case of each pass */
    void *user;
} ExplorePace;

/* Items for every thread count of the run: prompts of each length, then decode. */
void explore_case_items(ExploreCase *c, const int64_t *tokens, int ntokens, int64_t decode);
/* What the graphs say of a case, into each row: work, memory, sizes. */
void explore_case_describe(ExploreCase *c, const ssmc_program *program);
/* Measures cases in turn, pass after pass, and with them the first item of `anchor` (NULL: none),
 * which is the same for every batch. Rows that got numbers are ok afterwards; none is where
 * pace->stop says so before the end. */
ssmc_status explore_measure(Arena *arena, ExploreCase *cases, int count, BenchRun *anchor,
                            const ExplorePace *pace);

/* ---- what the results say (grid.c, says.c) -----------------------------------
 */

/* A form and chunk length: a line of a grid. */
typedef struct {
    const char *form;
    int64_t chunk; /* -1: none */
} ExploreLine;

/* Results that differ in state, form and chunk alone, as a grid. */
typedef struct {
    const ExploreRow
        *key; /* one of them: head_dim, groups, attention, dtype, threads and tokens are all's */
    int64_t *states; /* ascending */
    int nstates;
    ExploreLine *lines; /* chunked by chunk, then the other forms */
    int nlines;
    const ExploreRow **cells; /* [line * nstates + state]; NULL: not asked for */
} ExploreGrid;
/* Grids in the order of the table's rows; how many. */
int explore_grids(Arena *arena, const ExploreTable *table, ExploreGrid **out);
const ExploreRow *grid_at(const ExploreGrid *grid, int line, int state);
/* The fastest prefill of a state, among all or in one form; NULL: nothing was measured. */
const ExploreRow *grid_best(const ExploreGrid *grid, int state, const char *form);
const ExploreRow *grid_chosen(const ExploreGrid *grid, int state); /* that has numbers, or NULL */
/* Whether grid i has most threads and the longest prompts of those that differ in these alone. */
bool grid_is_main(const ExploreGrid *grids, int count, int i);
void grid_title(StrBuf *out, const ExploreGrid *grid, bool tokens); /* bf16, 2 threads ... */
void state_title(StrBuf *out, int64_t state);                       /* N=64, no SSD */
void line_title(StrBuf *out, const char *form, int64_t chunk);      /* Q=64, recurrent ... */

/* How far the compiler's choices are behind the best that was measured. */
typedef struct {
    const ExploreRow *chosen, *best;
    double behind; /* 0.03: 3 % slower */
} ExploreMiss;
typedef struct {
    int count, within5, within15; /* states by grids with both measured */
    ExploreMiss *all;             /* [count], the worst first */
} ExploreChoices;
ExploreChoices explore_choices(Arena *arena, const ExploreGrid *grids, int count);
/* Sentences: the best chunk of each state; how speed falls with the state, chunked and recurrent;
 * how good the choices are; how steady the machine was. */
void explore_say_best(StrBuf *out, const ExploreGrid *grid);
void explore_say_fall(StrBuf *out, const ExploreGrid *grid);
/* Whether bigger states cost almost nothing, as the Mamba-2 paper has it; "" without both forms. */
void explore_say_verdict(StrBuf *out, const ExploreGrid *grid);
void explore_say_choices(StrBuf *out, const ExploreChoices *choices);
/* What layers of attention in the place of SSDs cost, for the results of one type at the largest
 * state, the most threads and the longest prompts; "" where there are no two numbers of them. */
void explore_say_attention(StrBuf *out, const ExploreTable *table, const char *dtype);
/* How far predicted times are from measured ones; "" where none was predicted. */
void explore_say_predicted(StrBuf *out, const ExploreTable *table);
void explore_say_noise(StrBuf *out, const ExploreTable *table);

/* ---- what is shown (text.c, json.c, results_page.c) -------------------------------------------
 */

void explore_put_text(StrBuf *out, const ExploreTable *table);
/* Head, ceilings, rows, and what they say: grids, choices, predictions, noise. */
Json *explore_json(const ExploreTable *table);
Json *explore_rows_json(const ExploreTable *table);
void explore_put_json(StrBuf *out, const ExploreTable *table);
void explore_put_page(StrBuf *out, const ExploreTable *table); /* HTML, the JSON in it */

#endif
