/* codegen/ptx/tile_ring.c -- a ring of stages in shared memory that signals keep: those that copy
 * fill a place when it was read, those that multiply read it when it was filled. And the maps by
 * which x and W are copied to it as boxes. */
#include "codegen/ptx/tiles.h"

Val
ptx_ring_signal(Cg *c, Val signals, Val place)
{
    return cg_offset(c, signals, cg_mul(c, place, cg_i64(c, (int64_t)sizeof(int64_t))));
}

Val
ptx_ring_stage(Cg *c, const PtxTiles *t, Val place)
{
    return cg_mul(c, place, cg_i64(c, t->stage_bytes));
}

void
ptx_ring_open(Cg *c, PtxRing *r)
{
    r->place = cg_var(c, c->i64, cg_i64(c, 0), "place");
    r->odd = cg_var(c, c->i32, LLVMConstInt(c->i32, 0, 0), "odd");
}

void
ptx_ring_next(Cg *c, const PtxTiles *t, const PtxRing *r)
{
    const Val next = cg_add(c, cg_get(c, c->i64, r->place), cg_i64(c, 1));
    const Val more = cg_less(c, next, cg_i64(c, t->t->stages));
    const Val odd = cg_get(c, c->i32, r->odd);
    const Val other = LLVMBuildXor(c->b, odd, LLVMConstInt(c->i32, 1, 0), "");
    cg_set(c, r->place, LLVMBuildSelect(c->b, more, next, cg_i64(c, 0), ""));
    cg_set(c, r->odd, LLVMBuildSelect(c->b, more, odd, other, ""));
}

void
ptx_ring_give(Cg *c, const PtxTiles *t, Val signals, Val place, Val if_so)
{
    const Val first = LLVMBuildICmp(c->b, LLVMIntEQ, t->lane, cg_i64(c, 0), "");
    CgIf one = cg_if(c, if_so ? LLVMBuildAnd(c->b, first, if_so, "") : first);
    ptx_signal_give(c, ptx_ring_signal(c, signals, place));
    cg_endif(c, &one);
}

/* As many rows as its last dimension counts. */
AbiMap
ptx_map_x(const PtxLinear *p, int rows)
{
    int64_t each = 1;
    const AbiCount of = ptx_count(p->l.x, &each);
    return (AbiMap){
        .operand = (int32_t)(p->x - p->k->operands),
        .rank = 2,
        .of = of,
        .box = {ABI_MAP_ROW, rows            },
        .dim = {p->l.depth,  each            },
        .stride = {2,           2 * p->x->stride}
    };
}

AbiMap
ptx_map_w(const PtxLinear *p, int rows)
{
    const int64_t row = 2 * p->l.depth, first = node_int(p->k->kernel->anchor, ATTR_first, 0);
    return (AbiMap){
        .operand = (int32_t)(p->w - p->k->operands),
        .rank = 2,
        .box = {ABI_MAP_ROW, rows    },
        .dim = {p->l.depth,  p->l.out},
        .stride = {2,           row     },
        .offset = first * row
    };
}
