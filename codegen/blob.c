/* codegen/blob.c -- bytes as an object file: one section of read-only pages, which the system's
 * loader maps from the linked file and shares between processes.
 *
 * Written without LLVM, because the bytes may be gigabytes: nothing here holds them in memory a
 * second time. On x86-64 the section is marked large, so that linkers lay it where the distances
 * between code and its other data stay short. */
#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "codegen/module.h"

enum { PIECE_ALIGN = 64, SECTION_ALIGN = 4096, LARGE = 0x10000000 /* SHF_X86_64_LARGE */ };

typedef enum { SEC_none, SEC_data, SEC_stack, SEC_symbols, SEC_strings, SEC_names, SEC_COUNT } Sec;

static const char section_names[] =
    "\0.lrodata.ssmc.weights\0.note.GNU-stack\0.symtab\0.strtab\0.shstrtab";

static Elf64_Word
name_at(const char *name)
{
    for (size_t i = 0; i < sizeof section_names; i++)
        if (strcmp(section_names + i, name) == 0)
            return (Elf64_Word)i;
    die("no section %s", name);
}

typedef struct {
    Elf64_Ehdr head;
    Elf64_Sym symbols[2];
    Elf64_Shdr sections[SEC_COUNT];
    const char *strings; /* "\0symbol\0" */
    size_t string_bytes;
    int64_t data_bytes;
} Object;

/* ---- layout -------------------------------------------------------------------------------- */

static void
put_head(Object *o, bool x86)
{
    Elf64_Ehdr *h = &o->head;
    memcpy(h->e_ident, ELFMAG, SELFMAG);
    h->e_ident[EI_CLASS] = ELFCLASS64;
    h->e_ident[EI_DATA] = ELFDATA2LSB;
    h->e_ident[EI_VERSION] = EV_CURRENT;
    h->e_type = ET_REL;
    h->e_machine = x86 ? EM_X86_64 : EM_AARCH64;
    h->e_version = EV_CURRENT;
    h->e_ehsize = sizeof *h;
    h->e_shentsize = sizeof(Elf64_Shdr);
    h->e_shnum = SEC_COUNT;
    h->e_shstrndx = SEC_names;
}

/* Data first, at its alignment; then the tables, then the list of sections. */
static void
place_sections(Object *o, bool x86)
{
    Elf64_Shdr *s = o->sections;
    const Elf64_Off data = SECTION_ALIGN, tables = data + (Elf64_Off)o->data_bytes;
    s[SEC_data] = (Elf64_Shdr){.sh_name = name_at(".lrodata.ssmc.weights") + (x86 ? 0 : 2),
                               .sh_type = SHT_PROGBITS,
                               .sh_flags = SHF_ALLOC | (x86 ? LARGE : 0),
                               .sh_offset = data,
                               .sh_size = (Elf64_Xword)o->data_bytes,
                               .sh_addralign = SECTION_ALIGN};
    s[SEC_stack] = (Elf64_Shdr){.sh_name = name_at(".note.GNU-stack"),
                                .sh_type = SHT_PROGBITS,
                                .sh_offset = tables,
                                .sh_addralign = 1};
    s[SEC_symbols] = (Elf64_Shdr){.sh_name = name_at(".symtab"),
                                  .sh_type = SHT_SYMTAB,
                                  .sh_offset = tables,
                                  .sh_size = sizeof o->symbols,
                                  .sh_link = SEC_strings,
                                  .sh_info = 1, /* the first global symbol */
                                  .sh_addralign = 8,
                                  .sh_entsize = sizeof(Elf64_Sym)};
    s[SEC_strings] = (Elf64_Shdr){.sh_name = name_at(".strtab"),
                                  .sh_type = SHT_STRTAB,
                                  .sh_offset = tables + sizeof o->symbols,
                                  .sh_size = o->string_bytes,
                                  .sh_addralign = 1};
    s[SEC_names] = (Elf64_Shdr){.sh_name = name_at(".shstrtab"),
                                .sh_type = SHT_STRTAB,
                                .sh_offset = s[SEC_strings].sh_offset + o->string_bytes,
                                .sh_size = sizeof section_names,
                                .sh_addralign = 1};
    o->head.e_shoff =
        (Elf64_Off)round_up((int64_t)(s[SEC_names].sh_offset + sizeof section_names), PIECE_ALIGN);
}

static Object
object_of(Arena *arena, const char *symbol, int64_t data_bytes, bool x86)
{
    Object o = {.data_bytes = data_bytes, .string_bytes = strlen(symbol) + 2};
    char *strings = arena_alloc(arena, o.string_bytes);
    memcpy(strings + 1, symbol, o.string_bytes - 2);
    o.strings = strings;
    o.symbols[1] = (Elf64_Sym){.st_name = 1,
                               .st_info = ELF64_ST_INFO(STB_GLOBAL, STT_OBJECT),
                               .st_other = STV_HIDDEN,
                               .st_shndx = SEC_data,
                               .st_size = (Elf64_Xword)data_bytes};
    put_head(&o, x86);
    place_sections(&o, x86);
    return o;
}

/* ---- writing ------------------------------------------------------------------------------- */

static bool
put(FILE *f, const void *data, size_t bytes)
{
    return bytes == 0 || fwrite(data, 1, bytes, f) == bytes;
}

static bool
pad(FILE *f, int64_t bytes)
{
    static const char zeros[SECTION_ALIGN];
    return put(f, zeros, (size_t)bytes);
}

static bool
put_object(FILE *f, const Object *o, const CgPiece *pieces, int count)
{
    bool ok = put(f, &o->head, sizeof o->head) && pad(f, SECTION_ALIGN - (int64_t)sizeof o->head);
    for (int i = 0; ok && i < count; i++)
        ok = put(f, pieces[i].data, (size_t)pieces[i].bytes) &&
             pad(f, round_up(pieces[i].bytes, PIECE_ALIGN) - pieces[i].bytes);
    const Elf64_Shdr *names = &o->sections[SEC_names];
    return ok && put(f, o->symbols, sizeof o->symbols) && put(f, o->strings, o->string_bytes) &&
           put(f, section_names, sizeof section_names) &&
           pad(f, (int64_t)(o->head.e_shoff - names->sh_offset - names->sh_size)) &&
           put(f, o->sections, sizeof o->sections);
}

bool
cg_blob_write(Arena *arena, const char *path, const Machine *machine, const char *symbol,
              const CgPiece *pieces, int count, const char **why)
{
    int64_t bytes = 0;
    for (int i = 0; i < count; i++)
        if (pieces[i].bytes > INT64_MAX / 4 ||
            !size_add(bytes, round_up(pieces[i].bytes, PIECE_ALIGN), &bytes)) {
            *why = arena_printf(arena, "%s: more weights than a file can hold", path);
            return false;
        }
    const Object o = object_of(arena, symbol, bytes, machine->arch == ARCH_x86_64);
    FILE *f = fopen(path, "wb");
    bool ok = f && put_object(f, &o, pieces, count);
    const int reason = errno;
    ok = f && fclose(f) == 0 && ok;
    if (!ok)
        *why = arena_printf(arena, "cannot write %s: %s", path, strerror(ok ? errno : reason));
    return ok;
}
