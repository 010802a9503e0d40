/* runtime/gguf_arch.c -- which rows of the tables of GGUF files a file is read by: see gguf.h. */
#include "runtime/gguf.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "runtime/internal.h"

static const struct {
    const char *rows, *arch, *key, *tensor, *like;
} archs[] = {
#define GGUF_ARCH(rows, arch, key, tensor, like) {rows, arch, key, tensor, like},
#include "runtime/gguf_archs.def"
#undef GGUF_ARCH
};

/* Of each row of the table of tensors, which every architecture has some in. */
static const char *const of_tensors[] = {
#define GGUF_TENSOR(arch, from, to, change) arch,
#include "runtime/gguf_tensors.def"
#undef GGUF_TENSOR
};

static bool
says(const RtGguf *g, const char *arch, const char *what)
{
    char key[128];
    int64_t n = 0;
    snprintf(key, sizeof key, "%s.%s", arch, what);
    return !*what || (rt_gguf_int(rt_gguf_find(g, key), 0, &n) && n != 0);
}

static bool
some_layer_has(const RtGguf *g, const char *what)
{
    static const char before[] = "blk.";
    for (size_t i = 0; *what && i < rt_gguf_tensors(g); i++) {
        const RtGgufText name = rt_gguf_tensor(g, i)->name;
        const size_t len = strlen(what);
        if (name.len > len + strlen(before) && memcmp(name.text, before, strlen(before)) == 0 &&
            name.text[name.len - len - 1] == '.' &&
            memcmp(name.text + name.len - len, what, len) == 0)
            return true;
    }
    return !*what;
}

bool
rt_gguf_arch(const RtGguf *gguf, RtGgufArch *out)
{
    const char *at = NULL;
    RtGgufText text = {0};
    *out = (RtGgufArch){0};
    if (!rt_gguf_text(rt_gguf_find(gguf, "general.architecture"), &at, &text))
        return false;
    memcpy(out->name, text.text, text.len < sizeof out->name ? text.len : sizeof out->name - 1);
    for (size_t i = 0; i < RT_COUNT(archs); i++) {
        if (strcmp(archs[i].arch, out->name) != 0 || !says(gguf, out->name, archs[i].key) ||
            !some_layer_has(gguf, archs[i].tensor))
            continue;
        out->rows[0] = archs[i].rows;
        out->rows[1] = *archs[i].like ? archs[i].like : NULL;
        return true;
    }
    for (size_t i = 0; i < RT_COUNT(of_tensors) && !out->rows[0]; i++)
        if (strcmp(of_tensors[i], out->name) == 0)
            out->rows[0] = of_tensors[i];
    return true;
}

int
rt_gguf_arch_rank(const RtGgufArch *arch, const char *of_row)
{
    for (int i = 0; arch->rows[i]; i++)
        if (strcmp(arch->rows[i], of_row) == 0)
            return i;
    return -1;
}

bool
rt_gguf_arch_known(const RtGgufArch *arch)
{
    return arch->rows[0] != NULL;
}

/* Adds a name to the list, once. */
static void
add_name(char *list, size_t room, const char *name)
{
    const size_t len = strlen(name), used = strlen(list);
    for (const char *at = list; (at = strstr(at, name)); at += len)
        if ((at == list || at[-1] == ' ') && (at[len] == ',' || !at[len]))
            return;
    if (used + len + 3 <= room)
        snprintf(list + used, room - used, "%s%s", used ? ", " : "", name);
}

/* Rows of the tables stand together; those of files that say another architecture are no names. */
static bool
is_said(const char *rows)
{
    for (size_t i = 0; i < RT_COUNT(archs); i++)
        if (strcmp(archs[i].rows, rows) == 0 && strcmp(archs[i].arch, rows) != 0)
            return false;
    return true;
}

const char *
rt_gguf_arch_names(void)
{
    static _Thread_local char names[512];
    names[0] = '\0';
    for (size_t i = 0; i < RT_COUNT(of_tensors); i++)
        if ((i == 0 || strcmp(of_tensors[i], of_tensors[i - 1]) != 0) && is_said(of_tensors[i]))
            add_name(names, sizeof names, of_tensors[i]);
    for (size_t i = 0; i < RT_COUNT(archs); i++)
        add_name(names, sizeof names, archs[i].arch);
    return names;
}
