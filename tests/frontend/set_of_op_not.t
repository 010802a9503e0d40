A key of the layers whose block has an op: no block has both.
--ARGS--
compile @IN@ --set layers.ssd.theta=4
--IN yaml--
vocab: 16
dim: 8
layers: [{block: mamba2, state: 4, head_dim: 8}, {block: attention, heads: 2}]
--ERR--
--set:1:12: error: no layer's block has op ssd and a parameter 'theta'
--EXIT--
2
