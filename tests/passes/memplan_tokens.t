memplan: outputs lie one after the other, with the rows that they have: of tokens or of picked rows.
--ARGS--
compile @IN@ --stop-after memplan --cpu x86-64-v4
--IN--
graph "t" model {
  weights "init:reference"
  block 64
  rows 4
  input ids: i32[T]
  input pick: i32[R]
  weight e: f32[16,8] init=ones
  x: f32[T,8] = embed(ids, e)
  y = silu(x)
  z = take(y, pick)
  output y
  output z
}
--CONTAINS--
  output_bytes 2176
    y: f32[T,8] @output+0/8 = silu(x)
    z: f32[R,8] @output+2048/8 = take(y, pick)
