/* chat/jinja.h -- private to chat/: an interpreter of the Jinja that chat templates are written in.
 *
 * A template is read once into a tree, which threads may share, and rendered with variables that
 * come as JSON. Texts come out as by jinja2 3.1 with the settings of transformers: trim_blocks,
 * lstrip_blocks, loop controls, no escaping, and its tojson. What other templates are made of
 * (include, import, extends, block) is refused by name, and so is all that is not here.
 *
 * Values are Python's: texts count code points, integers are 64-bit (a larger one is an error),
 * dicts keep their order, an undefined name is a value that most uses refuse.
 *
 * A template is the work of others. Steps, nesting, memory and output have limits; what passes one
 * is an error of the template. A fault is kept once, sets `failed`, and what follows works on
 * undefined values until the statement that runs sees it: no function has to be told. */
#ifndef SSMC_CHAT_JINJA_H
#define SSMC_CHAT_JINJA_H

#include "ir/diag.h"

struct json_object;

/* ---- values (jinja_value.c) ----------------------------------------------------------------- */

typedef enum {
#define JINJA_KIND(id, type) JV_##id,
#include "chat/jinja_kinds.def"
#undef JINJA_KIND
    JV_COUNT
} JKind;

typedef struct JVal JVal;
typedef struct JList JList;
typedef struct JDict JDict;
typedef struct JNode JNode;
typedef struct JLoop JLoop;
typedef struct JMacro JMacro;
typedef struct JBound JBound;

struct JVal {
    JKind kind;
    bool markup; /* of a text: `safe`; what is added to it gets escaped */
    size_t len;  /* of a text: bytes */
    union {
        bool b;
        int64_t i; /* of a function: its row */
        double num;
        const char *text; /* of undefined: why, for messages */
        JList *list;      /* list, tuple, view, iter */
        JDict *dict;      /* dict, namespace */
        JLoop *loop;
        const JMacro *macro;
        const JBound *bound; /* a method and what it is of */
    };
};

struct JList {
    JVal *items;
    int count, cap;
    bool used; /* an iter gives its items once */
};

struct JDict {
    JVal *keys, *values;
    int count, cap;
};

struct JBound {
    JVal of;
    int method; /* row of jinja_methods.def */
};

/* ---- the tree (jinja_parse.c, jinja_expr.c) -------------------------------------------------- */

typedef enum {
    /* expressions */
    JN_const,  /* value */
    JN_name,   /* text */
    JN_list,   /* list */
    JN_tuple,  /* list */
    JN_dict,   /* list: key, value, key, value ... */
    JN_attr,   /* a.text */
    JN_item,   /* a[b] */
    JN_slice,  /* a[b:c:d] */
    JN_call,   /* a(list, args) */
    JN_filter, /* a|text(list, args); a NULL: of a block's text */
    JN_test,   /* a is text(list) */
    JN_not,
    JN_negative,
    JN_positive,
    JN_and,
    JN_or,
    JN_concat,  /* list, joined by ~ */
    JN_binary,  /* a op b */
    JN_compare, /* a ops[0] list[0] ops[1] list[1] ... */
    JN_if_else, /* b if a else c */
    /* statements */
    JN_text,         /* value */
    JN_print,        /* a */
    JN_body,         /* list, in the same scope */
    JN_if,           /* a: b, else c */
    JN_for,          /* b in a, if c: body d, else e */
    JN_set,          /* b = a */
    JN_set_block,    /* b = the text of d, through the filters a */
    JN_macro,        /* text(list, args): d */
    JN_call_block,   /* a, its caller being macro b */
    JN_filter_block, /* a of the text of d */
    JN_with,         /* b's names are list's values, in d */
    JN_break,
    JN_continue
} JNodeKind;

/* Operators of JN_binary and JN_compare. */
typedef enum {
    JO_add,
    JO_sub,
    JO_mul,
    JO_div,
    JO_floordiv,
    JO_mod,
    JO_pow,
    JO_eq,
    JO_ne,
    JO_lt,
    JO_le,
    JO_gt,
    JO_ge,
    JO_in,
    JO_notin
} JOp;

/* name=value of a call; name=default of a macro, value NULL: none. */
typedef struct {
    const char *name;
    JNode *value;
} JArg;

struct JNode {
    JNodeKind kind;
    JOp op;
    size_t at; /* byte of the source */
    const char *text;
    int row; /* of a filter or test: in its table */
    JVal value;
    JNode *a, *b, *c, *d, *e;
    JNode **list;
    int count, cap;
    JOp *ops; /* [count] of a compare */
    JArg *args;
    int nargs, cap_args;
    bool recursive; /* of a for */
};

typedef struct {
    Arena *arena;
    Source source; /* as it is read: line ends are \n */
    JNode *body;
} JTemplate;

/* NULL: faults are in diag. All of it lies in the arena; diag points into it. */
JTemplate *jinja_parse(Arena *arena, const char *path, const char *text, size_t len, Diag *diag);
SrcLoc jinja_place(const Source *source, size_t at);

/* ---- running (jinja_run.c, jinja_eval.c) ------------------------------------------------------
 */

typedef struct JScope {
    struct JScope *parent;
    const char **names;
    JVal *values;
    int count, cap;
} JScope;

struct JMacro {
    const JNode *node;
    JScope *scope; /* where it was written */
};

typedef struct {
    Arena *arena; /* of this rendering */
    const JTemplate *t;
    Diag *diag;
    JDict *vars;
    JScope *scope;
    StrBuf *out; /* where text goes now */
    size_t bytes, most_bytes;
    int64_t steps;
    int depth;
    size_t at; /* what is evaluated, for messages */
    bool failed;
} Jinja;

/* Appends the text to out. False: diag says why; out has what came before. */
bool jinja_render(const JTemplate *t, struct json_object *vars, StrBuf *out, Diag *diag);

/* The first fault of a rendering is kept; undefined, so that it can be returned. */
JVal j_fail(Jinja *j, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Counts work. False: it is too much, or there was a fault before. */
bool j_step(Jinja *j, int64_t steps);
void *j_alloc(Jinja *j, size_t count, size_t size); /* never NULL; counted */

JVal j_eval(Jinja *j, const JNode *node);
void j_run(Jinja *j, const JNode *node);
/* Arguments of a call. */
typedef struct {
    JVal *pos;
    int npos;
    const char **names; /* [nnamed] */
    JVal *named;
    int nnamed;
} JArgs;
JVal j_call(Jinja *j, JVal what, const JArgs *args);
JVal j_call_macro(Jinja *j, const JMacro *macro, const JArgs *args);
JVal j_call_loop(Jinja *j, JLoop *loop, const JArgs *args);
JVal j_call_loop_method(Jinja *j, const JBound *bound, const JArgs *args);
JVal j_loop_attr(Jinja *j, JLoop *loop, JVal name);
JVal j_attr(Jinja *j, JVal of, JVal name); /* of.name */
JVal j_item(Jinja *j, JVal of, JVal key);  /* of[key] */
JVal j_binary(Jinja *j, JOp op, JVal a, JVal b);
bool j_compare(Jinja *j, JOp op, JVal a, JVal b);
void j_scope_set(Jinja *j, const char *name, JVal value);

/* ---- of values ------------------------------------------------------------------------------- */

JVal j_undefined(const char *why);
JVal j_none(void);
JVal j_bool(bool b);
JVal j_int(int64_t i);
JVal j_float(double num);
JVal j_textn(const char *text, size_t len); /* borrows */
JVal j_text(const char *text);              /* borrows */
JVal j_copy(Jinja *j, const char *text, size_t len);
JVal j_finish(Jinja *j, StrBuf *sb); /* its text; frees it */
JVal j_list(Jinja *j, JKind kind);
void j_push(Jinja *j, JList *list, JVal item);
JVal j_dict(Jinja *j);
JVal *j_dict_find(Jinja *j, const JDict *dict, JVal key); /* NULL: it has none */
void j_dict_set(Jinja *j, JDict *dict, JVal key, JVal value);
/* copies: its texts; else they are borrowed. */
JVal j_from_json(Jinja *j, struct json_object *json, bool copies, int depth);

bool j_is_text(JVal v, const char *text);
bool j_is_listed(JVal v); /* has .list */
const char *j_type(JVal v);
bool j_true(Jinja *j, JVal v);
bool j_equal(Jinja *j, JVal a, JVal b, int depth);
/* How two compare, -1, 0, 1; what has no order is a fault. */
int j_order(Jinja *j, JVal a, JVal b, int depth);
bool j_number(JVal v, double *num);                                /* of bool, int, float */
bool j_whole(JVal v, int64_t *i);                                  /* of bool, int */
JVal j_str(Jinja *j, JVal v);                                      /* str(v) */
void j_put(Jinja *j, StrBuf *out, JVal v, bool quoted, int depth); /* quoted: repr(v) */
void j_put_float(StrBuf *out, double num);
JVal j_escape(Jinja *j, JVal v); /* &<>'" as entities; a markup */
/* Its items as a list: of a text its characters, of a dict its keys. NULL: it has none; a fault. */
JList *j_items(Jinja *j, JVal v);
int64_t j_length(Jinja *j, JVal v); /* -1: it has none; a fault */

/* ---- texts (jinja_text.c): indices are of code points ------------------------------------------
 */

size_t jt_step(const char *text, size_t left);  /* bytes of the character there, >= 1 */
int32_t jt_code(const char *text, size_t len);  /* its code point */
int64_t jt_count(const char *text, size_t len); /* characters */
size_t jt_offset(const char *text, size_t len, int64_t index);
bool jt_is_space(int32_t code);
bool jt_is_printable(int32_t code);
void jt_put(StrBuf *out, int32_t code);
typedef enum { JT_lower, JT_upper, JT_capitalize, JT_title, JT_swapcase } JCase;
JVal jt_case(Jinja *j, JVal text, JCase how);
/* Without the characters at its ends that `chars` has; NULL: white space. */
typedef enum { JT_left = 1, JT_right = 2, JT_both = 3 } JSide;
JVal jt_strip(JVal text, const JVal *chars, JSide side);
/* Where what is in text, from byte `from` on; SIZE_MAX: nowhere. */
size_t jt_find(JVal text, JVal what, size_t from);
JVal jt_split(Jinja *j, JVal text, const JVal *by, int64_t most, bool from_right);
JVal jt_replace(Jinja *j, JVal text, JVal from, JVal to, int64_t most);
JVal jt_slice(Jinja *j, JVal text, int64_t start, int64_t stop, int64_t step);

/* ---- tables -----------------------------------------------------------------------------------
 */

int jinja_filter_row(const char *name); /* -1: there is none */
const char *jinja_filter_near(const char *name);
JVal j_filter(Jinja *j, int row, JVal of, const JArgs *args);
int jinja_test_row(const char *name);
const char *jinja_test_near(const char *name);
bool j_test(Jinja *j, int row, JVal of, const JArgs *args);
JVal j_method(Jinja *j, JVal of, JVal name); /* undefined: it has none of that name */
JVal j_call_method(Jinja *j, const JBound *bound, const JArgs *args);
JVal j_global(const char *name); /* undefined: there is none */
JVal j_call_global(Jinja *j, int64_t row, const JArgs *args);
JVal j_percent(Jinja *j, JVal format, JVal with); /* format % with */

/* An argument by place or name; NULL: not given. */
const JVal *j_arg(const JArgs *args, int place, const char *name);

/* jinja_json.c */
JVal j_tojson(Jinja *j, JVal of, const JArgs *args);
JVal j_fromjson(Jinja *j, JVal text);

#endif
