fuse: the gate after a scan is the scan's epilogue, and is rounded there for the projection.
--ARGS--
compile @IN@ --stop-after fuse --cpu x86-64-v4 --dtype bf16
--IN--
include scan_gate.ir
--EXPECT--
graph "t" kernel {
  weights "init:reference"
  block 64
  rows 4
  entry prefill
  input ids: i32[T]
  weight e: f32[16,8] init=ones
  weight A_log: f32[8,3] init=a_log_states
  weight p: f32[30,8] init=ones
  weight q: f32[6,8] init=ones
  state s: f32[3,8]
  kernel pack_p {
    t3: bf16[30,8] = cast(p) {to=bf16}
    t7: bf16[1,4,64,2] = pack(t3) {panel=64}
  }
  kernel transpose_A_log {
    t1: f32[8,3] = exp(A_log)
    t2: f32[8,3] = neg(t1)
    A: f32[3,8] = transpose(t2)
  }
  kernel pack_q {
    t5: bf16[6,8] = cast(q) {to=bf16}
    t8: bf16[1,4,16,2] = pack(t5) {panel=16}
  }
  kernel embed {
    h: f32[T,8] = embed(ids, e)
    t4: bf16[T,8] = cast(h) {to=bf16}
  }
  kernel p {
    all: f32[T,30] = linear(t4, t7) {out=30, matmul=emitted}
  }
  x: f32[T,8], z: f32[T,8], dt: f32[T,8], B: f32[T,3], C: f32[T,3] = split(all) {sizes=[8, 8, 8, 3, 3]}
  kernel selective_scan {
    y: f32[T,8] = selective_scan(x, dt, A, B, C, _, s)
    g: f32[T,8] = silu(z)
    m: f32[T,8] = mul(y, g)
    t6: bf16[T,8] = cast(m) {to=bf16}
  }
  kernel q {
    o: f32[T,6] = linear(t6, t8) {out=6, matmul=emitted}
  }
  output o
}
