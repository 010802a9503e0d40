Every fault of a file is reported in one run, with the range or choices that the key table gives.
--ARGS--
compile @IN@ --set compile.thread=2 --set seed
--IN yaml--
vocab: 0
dim: 64
dims: 3
eos: 1.5
tie_embeddings: maybe
compile: {chunk: 0, form: chunky, dtype: f64}
weights: {init: random}
layers:
  - {block: mamba3}
  - {block: mamba2, stat: 4, conv: 1}
  - 7
--ERR--
--set:1:1: error: expected key=value, as in compile.chunk=64
--set:1:9: error: unknown key 'compile.thread'; the nearest known one is 'compile.threads'
@IN@:1:8: error: vocab is '0'; expected a whole number from 1 to 4194304
@IN@:3:1: error: unknown key 'dims'; the nearest known one is 'dim'
@IN@:4:6: error: eos is '1.5'; expected a token id from 0 to 4194303, a list of them, or none
@IN@:5:17: error: tie_embeddings is 'maybe'; expected true or false
@IN@:6:18: error: compile.chunk is '0'; expected auto, all or a whole number from 1 to 65536
@IN@:6:27: error: compile.form is 'chunky'; expected auto, recurrent, chunked or quadratic
@IN@:6:42: error: compile.dtype is 'f64'; expected f32, f16, bf16, int8, int4 or stored
@IN@:7:17: error: weights.init is 'random'; expected reference
@IN@:9:13: error: unknown block 'mamba3'; the nearest is mamba1
@IN@:10:21: error: unknown key 'layers[].stat'; the nearest known one is 'layers[].state'
@IN@:10:36: error: conv is '1'; expected a whole number from 2 to 64
@IN@:11:5: error: a layer names its block
--EXIT--
2
