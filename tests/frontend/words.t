Words, entries of lists, characters and functions in conditions and sizes.
--ARGS--
compile @IN@ --emit graph
--IN yaml--
name: words
vocab: 16
dim: 8
layers: [{block: words}]
blocks:
  - block: words
    params: {act: {type: word, default: relu, words: [relu, silu]}, nums: [3, 5, 7], k: {type: num, default: "nums[len(nums) - 1] % 4"}}
    weights: {w: {shape: ["dim % 5 * nums[0] - 1"], init: ones}}
    ops:
      - h = h + w
      - {when: act is relu, op: h = relu(h)}
      - {when: "act in [silu, tanh]", op: h = silu(h)}
      - {when: not act is silu and 5 > 4, op: h = h * k}
      - {when: dim in nums, op: h = exp(h)}
      - {when: k in nums, op: h = square(h)}
      - {when: "index(7, nums) == 2 and sqrt(dim * 2) == 4", op: h = h + dim}
weights: {init: reference, seed: 1}
--CONTAINS--
h.2: f32[T,8] = add(h, layers.0.w)
h.3: f32[T,8] = relu(h.2)
h.4: f32[T,8] = mul(h.3, 3)
h.5: f32[T,8] = square(h.4)
h.6: f32[T,8] = add(h.5, 8)
--LACKS--
silu
exp
