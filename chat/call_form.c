/* chat/call_form.c -- what the text of an answer is that must call a tool: the marks and the syntax
 * of the format's calls (formats.def) around arguments by the tools' schemas. What parser.c makes
 * of such a text is one call, of a tool that there is. */
#include <json-c/json.h>
#include <string.h>

#include "chat/formats.h"

typedef struct {
    Arena *arena;
    struct json_object *made; /* a list of schemas; owns */
    GrammarPart *parts;       /* [count] */
    int count, cap;
    const char *why; /* there is no such text; NULL: there is */
} Form;

static void
put(Form *f, GrammarPart part)
{
    VEC_PUSH(f->arena, f->parts, f->count, f->cap, part);
}

static void
put_text(Form *f, const char *text)
{
    if (*text)
        put(f, (GrammarPart){.kind = PART_text, .text = text});
}

static void
put_json(Form *f, struct json_object *schema)
{
    put(f, (GrammarPart){.kind = PART_json, .schema = schema});
}

static void
begin(Form *f, bool optional)
{
    put(f, (GrammarPart){.kind = optional ? PART_optional : PART_group});
}

static void
end(Form *f)
{
    put(f, (GrammarPart){.kind = PART_end});
}

/* The first reason stays. */
static void
fail(Form *f, const char *why)
{
    f->why = f->why ? f->why : why;
}

/* ---- schemas -------------------------------------------------------------------------------- */

static struct json_object *
key_of(struct json_object *object, const char *key)
{
    struct json_object *value = NULL;
    if (json_object_is_type(object, json_type_object))
        json_object_object_get_ex(object, key, &value);
    return value;
}

static size_t
length_of(struct json_object *list)
{
    return json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
}

static const char *
text_of(struct json_object *value)
{
    return json_object_is_type(value, json_type_string) ? json_object_get_string(value) : "";
}

/* A part of `whole` as a schema of its own: what it refers to goes with it. */
static struct json_object *
alone(Form *f, struct json_object *part, struct json_object *whole)
{
    static const char *const shared[] = {"$defs", "definitions"};
    struct json_object *made = json_object_new_object();
    if (json_object_is_type(part, json_type_object)) {
        json_object_object_foreach(part, key, value)
        {
            json_object_object_add(made, key, json_object_get(value));
        }
    }
    for (size_t i = 0; i < COUNT_OF(shared); i++)
        if (key_of(whole, shared[i]))
            json_object_object_add(made, shared[i], json_object_get(key_of(whole, shared[i])));
    json_object_array_add(f->made, made);
    return made;
}

static bool
is_required(struct json_object *schema, const char *key)
{
    struct json_object *list = key_of(schema, "required");
    for (size_t i = 0; i < length_of(list); i++)
        if (strcmp(text_of(json_object_array_get_idx(list, i)), key) == 0)
            return true;
    return false;
}

static bool
is_one_of(const char *text, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(text, list[i]) == 0)
            return true;
    return false;
}

/* Whether a schema says of a value that it is a text, and no more. */
static bool
is_any_text(struct json_object *schema)
{
    static const char *const notes[] = {"type", "title", "description", "default", "examples"};
    json_object_object_foreach(schema, key, value)
    {
        (void)value;
        if (!is_one_of(key, notes, COUNT_OF(notes)))
            return false;
    }
    return true;
}

/* ---- parameters one by one ------------------------------------------------------------------ */

/* How a syntax writes them: around a key, behind a value, and between two of them. bare: texts
 * stand as they are; else all values are JSON. */
typedef struct {
    const char *before, *behind, *end, *between;
    bool bare;
} Style;

/* One of several texts. */
static void
put_listed(Form *f, struct json_object *list)
{
    begin(f, false);
    for (size_t i = 0; i < length_of(list); i++) {
        if (i)
            put(f, (GrammarPart){.kind = PART_or});
        put_text(f, text_of(json_object_array_get_idx(list, i)));
    }
    end(f);
}

static void
put_bare(Form *f, struct json_object *schema, struct json_object *whole, const char *key,
         const char *mark)
{
    static const char *const plain[] = {"integer", "number", "boolean", "object", "array"};
    const char *type = text_of(key_of(schema, "type"));
    if (is_one_of(type, plain, COUNT_OF(plain)))
        put_json(f, alone(f, schema, whole));
    else if (strcmp(type, "string") != 0)
        fail(f, arena_printf(f->arena,
                             "parameter %s has no type, or several: in this format's calls that "
                             "can't be asked for",
                             key));
    else if (length_of(key_of(schema, "enum")) > 0)
        put_listed(f, key_of(schema, "enum"));
    else if (is_any_text(schema))
        put(f, (GrammarPart){.kind = PART_free, .text = mark});
    else
        fail(f,
             arena_printf(f->arena,
                          "parameter %s is a text with a form of its own: in this format's calls "
                          "that can't be asked for",
                          key));
}

static void
put_parameter(Form *f, const Style *style, struct json_object *whole, const char *key,
              struct json_object *schema)
{
    put_text(f, arena_printf(f->arena, "%s%s%s", style->before, key, style->behind));
    if (style->bare)
        put_bare(f, schema, whole, key, style->end + strspn(style->end, "\n"));
    else
        put_json(f, alone(f, schema, whole));
    put_text(f, style->end);
}

/* Those that are required come first. Others have one before them, where a text stands between. */
static void
put_parameters(Form *f, const Style *style, struct json_object *schema)
{
    struct json_object *properties = key_of(schema, "properties");
    bool first = true;
    if (!json_object_is_type(properties, json_type_object))
        return;
    for (int required = 1; required >= 0; required--) {
        json_object_object_foreach(properties, key, property)
        {
            if (is_required(schema, key) != required || (first && !required && style->between[0]))
                continue;
            begin(f, !required);
            put_text(f, first ? "" : style->between);
            put_parameter(f, style, schema, key, property);
            end(f);
            first = false;
        }
    }
}

/* ---- calls ---------------------------------------------------------------------------------- */

static void
put_call(Form *f, ChatSyntax syntax, const char *name, struct json_object *schema)
{
    static const Style function = {"<parameter=", ">\n", "\n</parameter>\n", "", true};
    static const Style invoke = {"<parameter name=\"", "\">", "</parameter>\n", "", true};
    static const Style python = {"", "=", "", ", ", false};
    struct json_object *quoted = json_object_new_string(name);
    const char *in_quotes =
        arena_strdup(f->arena, json_object_to_json_string_ext(quoted, JSON_C_TO_STRING_PLAIN));
    json_object_put(quoted);
    switch (syntax) {
    case SYNTAX_none:
        break;
    case SYNTAX_json:
    case SYNTAX_bare:
        put_text(f, arena_printf(f->arena, "{\"name\": %s, \"%s\": ", in_quotes,
                                 syntax == SYNTAX_bare ? "parameters" : "arguments"));
        put_json(f, schema);
        put_text(f, "}");
        break;
    case SYNTAX_function:
        put_text(f, arena_printf(f->arena, "<function=%s>\n", name));
        put_parameters(f, &function, schema);
        put_text(f, "</function>");
        break;
    case SYNTAX_invoke:
        put_text(f, arena_printf(f->arena, "<invoke name=\"%s\">\n", name));
        put_parameters(f, &invoke, schema);
        put_text(f, "</invoke>");
        break;
    case SYNTAX_python:
        put_text(f, arena_printf(f->arena, "%s(", name));
        put_parameters(f, &python, schema);
        put_text(f, ")");
        break;
    case SYNTAX_kimi:
        put_text(f, arena_printf(f->arena,
                                 "<|tool_call_begin|>functions.%s:0<|tool_call_argument_begin|>",
                                 name));
        put_json(f, schema);
        put_text(f, "<|tool_call_end|>");
        break;
    case SYNTAX_args:
        put_text(f, arena_printf(f->arena, "%s[ARGS]", name));
        put_json(f, schema);
        break;
    }
}

/* Reasoning that the prompt has opened, or that the answer may open. */
static void
put_reasoning(Form *f, const ChatThinking *thinking, bool opened)
{
    if (!thinking)
        return;
    begin(f, !opened);
    put_text(f, opened ? "" : thinking->open);
    put(f, (GrammarPart){.kind = PART_free, .text = thinking->close});
    put_text(f, thinking->close);
    begin(f, true);
    put_text(f, "\n\n");
    end(f);
    end(f);
}

/* The schema of a tool's arguments, an object; NULL: it is of something else. */
static struct json_object *
arguments_of(Form *f, struct json_object *tool)
{
    struct json_object *given = key_of(tool, "parameters");
    if (given && !json_object_is_type(given, json_type_object))
        return NULL;
    if (given && json_object_object_length(given) > 0)
        return strcmp(text_of(key_of(given, "type")), "object") == 0 ? given : NULL;
    struct json_object *any = alone(f, NULL, NULL);
    json_object_object_add(any, "type", json_object_new_string("object"));
    if (!given) /* no parameters at all */
        json_object_object_add(any, "additionalProperties", json_object_new_boolean(false));
    return any;
}

/* A name that no syntax could take for anything else. */
static bool
is_plain_name(const char *name)
{
    static const char chars[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";
    return *name && strspn(name, chars) == strlen(name);
}

/* Calls of the tool of a name, or of any; how many tools that are. */
static int
put_calls(Form *f, const ChatCalls *calls, struct json_object *tools, const char *name)
{
    int n = 0;
    begin(f, false);
    for (size_t i = 0; i < length_of(tools); i++) {
        struct json_object *tool = key_of(json_object_array_get_idx(tools, i), "function");
        const char *at = text_of(key_of(tool, "name"));
        if (name && strcmp(at, name) != 0)
            continue;
        struct json_object *schema = arguments_of(f, tool);
        if (!is_plain_name(at))
            fail(f, arena_printf(f->arena,
                                 "tool %zu is no function with a name of letters, digits, _, - "
                                 "and .",
                                 i));
        else if (!schema)
            fail(f, arena_printf(f->arena,
                                 "the parameters of tool %zu, %s, must be a schema of type object",
                                 i, at));
        if (f->why)
            return 1;
        if (n++)
            put(f, (GrammarPart){.kind = PART_or});
        put_call(f, calls->syntax, at, schema);
    }
    end(f);
    return n;
}

bool
chat_is_call_mark(const ChatFormat *format, const char *text, size_t len)
{
    static const char *const inner[] = {"<|tool_call_begin|>", "<|tool_call_argument_begin|>",
                                        "<|tool_call_end|>", "[ARGS]"};
    const ChatCalls *calls = chat_calls(format);
    const ChatThinking *thinking = chat_thinking(format);
    const char *const outer[] = {calls ? calls->begin : "", calls && calls->end ? calls->end : "",
                                 thinking ? thinking->open : "", thinking ? thinking->close : ""};
    for (size_t i = 0; i < COUNT_OF(outer); i++)
        if (len > 0 && strlen(outer[i]) == len && memcmp(outer[i], text, len) == 0)
            return true;
    for (size_t i = 0; i < COUNT_OF(inner); i++)
        if (calls && strlen(inner[i]) == len && memcmp(inner[i], text, len) == 0)
            return true;
    return false;
}

Grammar *
chat_call_grammar(const ChatFormat *format, struct json_object *tools, const char *name,
                  const char *opening, size_t len, char **why)
{
    const ChatCalls *calls = chat_calls(format);
    Form f = {.arena = arena_new(), .made = json_object_new_array()};
    Grammar *grammar = NULL;
    if (!calls) {
        fail(&f, "this model's chat format has no form of calls that could be asked for");
    } else {
        put_reasoning(&f, chat_thinking(format), chat_opens_reasoning(format, opening, len));
        /* A bare call is told by its form. */
        put_text(&f, calls->syntax == SYNTAX_bare ? "" : calls->begin);
        put_text(&f, calls->open);
        if (put_calls(&f, calls, tools, name) == 0)
            fail(&f, name ? arena_printf(f.arena, "there is no tool of the name %s", name)
                          : "there is no tool that could be called");
        put_text(&f, calls->close);
        put_text(&f, calls->end ? calls->end : "");
    }
    if (!f.why)
        grammar = grammar_from_parts(f.parts, f.count, why);
    else
        *why = strdup(f.why);
    json_object_put(f.made);
    arena_free(f.arena);
    return grammar;
}
