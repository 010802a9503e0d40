--ARGS--
compile @IN@
--IN yaml--
vocab: 16
dim: 8
layers: [{block: mamba2, head_dim: 8}]
compile:
  reproducible: true
  form: chunked
  chunk: 64
  matmul: blas
--ERR--
@IN@:6:9: error: compile.form contradicts compile.reproducible, which takes the recurrent form
@IN@:5:17: note: compile.reproducible is given here
@IN@:7:10: error: compile.chunk contradicts compile.reproducible, which takes no chunks
@IN@:5:17: note: compile.reproducible is given here
@IN@:8:11: error: compile.matmul contradicts compile.reproducible, which takes products that are emitted
@IN@:5:17: note: compile.reproducible is given here
--EXIT--
2
