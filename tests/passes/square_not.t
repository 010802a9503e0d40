square: it takes one operand and no attribute.
--ARGS--
compile @IN@
--IN--
graph "t" model {
  weights "init:reference"
  block 64
  rows 4
  input ids: i32[T]
  weight e: f32[16,8] init=ones
  x: f32[T,8] = embed(ids, e)
  a = square(x, x)
  b = square(x) {eps=1}
  output x
}
--ERR--
@IN@:8:17: error: `square`: it has more than 1 operands
@IN@:9:18: error: `square` has no attribute `eps`; it takes none
--EXIT--
2
