fuse: a graph that has its kernels already keeps them.
--ARGS--
compile @IN@ --stop-after fuse --cpu x86-64-v4
--IN--
graph "t" kernel {
  weights "init:reference"
  block 64
  rows 4
  input ids: i32[T]
  weight e: f32[16,8] init=ones
  kernel embed {
    x: f32[T,8] = embed(ids, e)
  }
  kernel apart {
    y: f32[T,8] = silu(x)
  }
  output y
}
--EXPECT--
graph "t" kernel {
  weights "init:reference"
  block 64
  rows 4
  entry prefill
  input ids: i32[T]
  weight e: f32[16,8] init=ones
  kernel embed {
    x: f32[T,8] = embed(ids, e)
  }
  kernel apart {
    y: f32[T,8] = silu(x)
  }
  output y
}
