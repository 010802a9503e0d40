partition: the delta rule by chunks, whose products multiply bf16, goes to the matrix unit of the machine.
--ARGS--
compile @IN@ --stop-after partition --chunk 8 --dtype bf16 --cpu sapphirerapids
--IN--
graph "t" model {
  weights "init:reference"
  block 64
  rows 4
  entry prefill
  input ids: i32[T]
  weight e: f32[16,772] init=ones
  state s: f32[2,128,128]
  all = embed(ids, e)
  q, k, v, g, b = split(all) {sizes=[256, 256, 256, 2, 2]}
  y = delta(q, k, v, g, b, s) {heads=2, head_dim=128, groups=2, state=128, scale=1}
  output y
}
--CONTAINS--
kernel delta {unit=matrix, part=heads, pieces=4} {
