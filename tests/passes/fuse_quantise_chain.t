fuse: pointwise nodes between a norm and its quantise are in the kernel of both.
--ARGS--
compile @IN@ --stop-after fuse --dtype int8 --cpu znver4
--IN--
graph "t" model {
  weights "init:reference"
  block 64
  rows 4
  input ids: i32[T]
  weight e: f32[16,64] init=ones
  weight w: f32[6,64] init=ones
  x: f32[T,64] = embed(ids, e)
  u = rmsnorm(x) {eps=1e-05}
  g = silu(u)
  y = linear(g, w)
  output y
}
--EXPECT--
graph "t" kernel {
  weights "init:reference"
  block 64
  rows 4
  entry prefill
  input ids: i32[T]
  weight e: f32[16,64] init=ones
  weight w: f32[6,64] init=ones
  kernel pack_w {
    t3: i8[6,64], t4: f32[6,1] = quantise_i8(w)
    t6: u8[1,16,16,4] = pack(t3) {panel=16}
    t7: f32[1,1,16] = pack(t4) {panel=16}
  }
  kernel embed {
    x: f32[T,64] = embed(ids, e)
  }
  kernel norm {
    u: f32[T,64] = rmsnorm(x) {eps=1e-05}
    g: f32[T,64] = silu(u)
    t1: i8[T,64], t2: f32[T,1] = quantise(g)
  }
  kernel w {
    y: f32[T,6] = linear_i8(t1, t2, t6, t7) {out=6}
  }
  output y
}

--COUNT--
kernel 4 rmsnorm 1 silu 1 quantise 1
