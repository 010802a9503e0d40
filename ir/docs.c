/* ir/docs.c -- the tables of ops, attributes and element types as Markdown: IR.md and `ssmc help
 * ops` show what the .def files say. */
#include "ir/docs.h"
#include "ir/ir.h"

/* A cell. `|` would end it, and `*` begin italics. */
static void
cell(StrBuf *out, const char *text)
{
    sb_puts(out, " ");
    for (const char *c = text; *c != '\0'; c++) {
        if (*c == '|' || *c == '*')
            sb_puts(out, "\\");
        sb_putn(out, c, 1);
    }
    sb_puts(out, *text != '\0' ? " |" : "|");
}

/* "aap?s" -> "a a p? s". */
static void
operand_cell(StrBuf *out, const char *letters)
{
    StrBuf spaced = {0};
    for (const char *c = letters; *c != '\0'; c++) {
        if (c != letters && *c != '?' && *c != '*')
            sb_puts(&spaced, " ");
        sb_putn(&spaced, c, 1);
    }
    cell(out, sb_text(&spaced));
    sb_free(&spaced);
}

static void
code_cell(StrBuf *out, const char *name)
{
    sb_printf(out, "| `%s` |", name);
}

static void
op_table(StrBuf *out)
{
    sb_puts(out, "| op | operands | results | class | stages | attributes | flags | meaning |\n"
                 "|----|----------|---------|-------|--------|------------|-------|---------|\n");
    for (int i = 0; i < OP_COUNT; i++) {
        const OpInfo *op = &op_info[i];
        code_cell(out, op->name);
        operand_cell(out, op->operands);
        cell(out, op->results);
        cell(out, class_name[op->cls]);
        cell(out, op->stages);
        cell(out, op->attrs);
        cell(out, op->flags);
        cell(out, op->doc);
        sb_puts(out, "\n");
    }
}

static const char *
attr_kind_text(AttrKind kind)
{
    switch (kind) {
    case AK_INT:
        return "integer";
    case AK_NUM:
        return "number";
    case AK_INTS:
        return "list of integers";
    case AK_NUMS:
        return "list of numbers";
    case AK_WORD:
        return "word";
    case AK_CHUNK:
        return "integer, `auto` or `all`";
    }
    die("attribute of kind %d", (int)kind);
}

void
ir_docs(StrBuf *out)
{
    op_table(out);
    sb_puts(out, "\n| attribute | value | meaning |\n|-----------|-------|---------|\n");
    for (int i = 0; i < ATTR_COUNT; i++) {
        code_cell(out, attr_info[i].name);
        cell(out, attr_kind_text(attr_info[i].kind));
        cell(out, attr_info[i].doc);
        sb_puts(out, "\n");
    }
    sb_puts(out, "\n| type | bytes | meaning |\n|------|-------|---------|\n");
    for (int i = 0; i < DTYPE_COUNT; i++) {
        code_cell(out, dtype_info[i].name);
        sb_printf(out, " %d |", dtype_info[i].bytes);
        cell(out, dtype_info[i].doc);
        sb_puts(out, "\n");
    }
    sb_puts(out, "\n| input | numbers | meaning |\n|-------|---------|---------|\n");
    for (int i = 0; i < INPUT_COUNT; i++) {
        code_cell(out, input_info[i].name);
        sb_puts(out, " ");
        type_print(out, &input_info[i].type);
        sb_puts(out, " |");
        cell(out, input_info[i].doc);
        sb_puts(out, "\n");
    }
    sb_puts(out,
            "\n| entry | tokens of a sequence in a call | meaning |\n|-------|---|---------|\n");
    for (int i = 0; i < ENTRY_COUNT; i++) {
        code_cell(out, entry_info[i].name);
        if (entry_info[i].tokens)
            sb_printf(out, " at most %lld |", (long long)entry_info[i].tokens);
        else
            cell(out, "any number");
        cell(out, entry_info[i].doc);
        sb_puts(out, "\n");
    }
}
