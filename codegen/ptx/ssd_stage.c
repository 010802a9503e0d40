/* codegen/ptx/ssd_stage.c -- columns of a value to shared memory as bf16, eight of a token at a
 * time, for a run of tokens (codegen/ptx/ssd.h: PtxStage). */
#include "codegen/ptx/ssd.h"

/* bf16 of one row that are copied together; units of a thread on their way together. */
enum { UNIT = PTX_SSD_UNIT, UNIT_BYTES = 16, MOST_UNITS = 8 };
/* Rows of a swizzled place: 16s of bytes of one, and bytes of 64 columns of a run. */
enum { ROW_UNITS = 8, ROW_BYTES = 128, ROW_COLUMNS = 64 };

Val
ptx_ssd_unit_at(Cg *c, const PtxRows *rows, Val token, Val col)
{
    if (rows->stride)
        return cg_element(c, rows->at, DTYPE_bf16, token, rows->stride, col);
    const Val unit = cg_div(c, col, cg_i64(c, UNIT)), units = cg_i64(c, ROW_UNITS);
    const Val part = cg_div(c, unit, units), in_row = LLVMBuildURem(c->b, unit, units, "");
    const Val place = LLVMBuildXor(c->b, in_row, LLVMBuildURem(c->b, token, units, ""), "");
    const Val row = cg_add(c, cg_mul(c, part, cg_i64(c, PTX_SSD_RUN)), token);
    const Val bytes =
        cg_add(c, cg_mul(c, row, cg_i64(c, ROW_BYTES)), cg_mul(c, place, cg_i64(c, UNIT_BYTES)));
    return cg_offset(c, rows->at, bytes);
}

/* Elements that one access reads; whole units of them exist. 1: as they come. */
static int
stage_lanes(const PtxStage *t)
{
    const CgOperand *o = cg_operand(t->s->k, t->from);
    if (!o || o->is_output || t->width % UNIT != 0)
        return 1;
    return o->dtype == DTYPE_f32 || o->dtype == DTYPE_bf16 ? ptx_lanes(o, UNIT) : 1;
}

static bool
lies_in_units(const PtxStage *t)
{
    const CgOperand *o = cg_operand(t->s->k, t->from);
    return o && o->dtype == DTYPE_bf16 && stage_lanes(t) == UNIT;
}

/* Eight numbers from column `col` of a row of the run on as a unit; 0 where `exists` is false. */
static Val
unit_of(Cg *c, const PtxStage *t, Val row, Val col, Val exists)
{
    const int lanes = stage_lanes(t);
    const CgOperand *o = cg_operand(t->s->k, t->from);
    Val x[UNIT], unit = LLVMGetPoison(LLVMVectorType(c->i32, UNIT / 2));
    for (int i = 0; i < UNIT; i += lanes) {
        const Val near = cg_min(c, cg_add(c, col, cg_i64(c, i)), cg_i64(c, t->width - lanes));
        const Val at = cg_add(c, t->first, near);
        if (lanes == 1) {
            const Val is = cg_less(c, cg_add(c, col, cg_i64(c, i)), cg_i64(c, t->width));
            const Val one = cg_eval_one(c, t->s->k, t->from, row, at);
            x[i] = t->width % UNIT == 0 ? one : LLVMBuildSelect(c->b, is, one, cg_f32(c, 0), "");
            continue;
        }
        const Val all =
            ptx_load(c, cg_element(c, o->base, o->dtype, row, o->stride, at), o->dtype, lanes);
        for (int e = 0; e < lanes; e++)
            x[i + e] = cg_slice(c, all, e, 1);
    }
    for (int i = 0; i < UNIT; i += 2)
        unit =
            LLVMBuildInsertElement(c->b, unit, ptx_pair(c, x[i], x[i + 1]), cg_i64(c, i / 2), "");
    return LLVMBuildSelect(c->b, exists, unit, LLVMConstNull(LLVMTypeOf(unit)), "");
}

/* Unit number i of this thread: of token line + more, from column col on. Where each thread's units
 * lie in one column, one address serves them all. Those past the last stand for the last. */
typedef struct {
    Val line, col;
    int64_t more;
} Unit;

static Unit
unit_number(Cg *c, const PtxStage *t, Val before, int i)
{
    const int64_t threads = t->threads, across = t->columns / UNIT;
    const Val width = cg_i64(c, across), size = cg_i64(c, UNIT), thread = t->thread;
    if (threads % across == 0 && PTX_SSD_RUN * across % threads == 0) {
        const Val line = cg_div(c, thread, width);
        const Val place = cg_sub(c, thread, cg_mul(c, line, width));
        return (Unit){.line = cg_add(c, cg_div(c, before, width), line),
                      .col = cg_mul(c, place, size),
                      .more = i * (threads / across)};
    }
    const Val item = cg_add(c, cg_add(c, before, thread), cg_i64(c, i * threads));
    const Val one = cg_min(c, item, cg_i64(c, PTX_SSD_RUN * across - 1));
    const Val line = cg_div(c, one, width);
    return (Unit){.line = line, .col = cg_mul(c, cg_sub(c, one, cg_mul(c, line, width)), size)};
}

static Val
token_of(Cg *c, const Unit *u)
{
    return cg_add(c, u->line, cg_i64(c, u->more));
}

/* i1: the run has such a token, and the value such columns. */
static Val
unit_exists(Cg *c, const PtxStage *t, const Unit *u)
{
    const Val row = cg_less(c, u->line, cg_sub(c, t->run.count, cg_i64(c, u->more)));
    if (t->whole)
        return row;
    const Val col = cg_less(c, cg_add(c, t->begin, u->col), cg_i64(c, t->width));
    return LLVMBuildAnd(c->b, row, col, "");
}

static Val
unit_to(Cg *c, const PtxStage *t, const Unit *u)
{
    return ptx_ssd_unit_at(c, &t->to, token_of(c, u), u->col);
}

/* bf16 that lies in whole units is copied as it is. Of a unit that does not exist nothing is read,
 * whatever its address. all: they all exist. */
static void
copy_units(Cg *c, const PtxStage *t, Val before, int count, bool all)
{
    const CgOperand *o = cg_operand(t->s->k, t->from);
    for (int i = 0; i < count; i++) {
        const Unit u = unit_number(c, t, before, i);
        const Val row = cg_add(c, t->run.row, token_of(c, &u));
        const Val at = cg_add(c, t->first, cg_add(c, t->begin, u.col));
        ptx_copy16(c, unit_to(c, t, &u), cg_element(c, o->base, o->dtype, row, o->stride, at),
                   all ? LLVMConstInt(c->i1, 1, 0) : unit_exists(c, t, &u));
    }
}

static void
round_units(Cg *c, const PtxStage *t, Val before, int count)
{
    const Val last = cg_sub(c, t->run.count, cg_i64(c, 1));
    Val unit[MOST_UNITS], to[MOST_UNITS];
    for (int i = 0; i < count; i++) {
        const Unit u = unit_number(c, t, before, i);
        const Val row = cg_add(c, t->run.row, cg_min(c, token_of(c, &u), last));
        const Val col = cg_add(c, t->begin, u.col);
        unit[i] = unit_of(c, t, row, col, unit_exists(c, t, &u));
        to[i] = unit_to(c, t, &u);
    }
    for (int i = 0; i < count; i++)
        LLVMSetAlignment(LLVMBuildStore(c->b, unit[i], to[i]), UNIT_BYTES);
}

/* How the units of a round are staged: by copies, those that are all there, or number by number. */
typedef enum { COPIED, WHOLE, ROUNDED } How;

static void
stage_rounds(Cg *c, const PtxStage *t, How how)
{
    const int64_t all = PTX_SSD_RUN * t->columns / UNIT;
    const int64_t rounds = (all + t->threads - 1) / t->threads;
    const int batch = (int)(rounds < MOST_UNITS ? rounds : MOST_UNITS);
    CgLoop loop = cg_loop(c, "stage", cg_i64(c, 0), cg_i64(c, all), batch * t->threads);
    if (how == ROUNDED)
        round_units(c, t, loop.i, batch);
    else
        copy_units(c, t, loop.i, batch, how == WHOLE);
    cg_loop_end(c, &loop);
}

/* A whole run asks nothing of each unit. */
void
ptx_ssd_stage(Cg *c, const PtxStage *t)
{
    const Val run = cg_i64(c, PTX_SSD_RUN);
    if (!lies_in_units(t) || !t->whole) {
        stage_rounds(c, t, lies_in_units(t) ? COPIED : ROUNDED);
        return;
    }
    CgIf whole = cg_if(c, LLVMBuildICmp(c->b, LLVMIntEQ, t->run.count, run, ""));
    stage_rounds(c, t, WHOLE);
    cg_else(c, &whole);
    stage_rounds(c, t, COPIED);
    cg_endif(c, &whole);
}

PtxStage
ptx_ssd_stage_group(Cg *c, const PtxSsd *s, const Value *from)
{
    return (PtxStage){.s = s,
                      .from = from,
                      .first = cg_mul(c, s->group, cg_i64(c, s->states)),
                      .begin = cg_i64(c, 0),
                      .width = s->states,
                      .columns = round_up(s->states, PTX_SSD_TILE),
                      .whole = s->states % PTX_SSD_TILE == 0};
}

PtxStage
ptx_ssd_stage_x(Cg *c, const PtxSsd *s, Val head, Val begin, int64_t columns)
{
    return (PtxStage){.s = s,
                      .from = s->x,
                      .first = cg_mul(c, head, cg_i64(c, s->head_dim)),
                      .begin = begin,
                      .width = s->head_dim,
                      .columns = columns,
                      .whole = s->head_dim % columns == 0};
}
