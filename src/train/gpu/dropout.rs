//! Dropout as one operation: in burn's own the hash alone would be fifteen, and the mask would be kept for the backward pass.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind, unary};
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Autodiff, Backend, Dispatch, TensorMetadata, backend_extension};
use burn::tensor::{Int, Tensor};
use burn_cubecl::CubeBackend;
use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::cubecl::std::tensor::layout::linear::{LinearView, LinearViewMut};

use super::launch::{beside, for_elements};
use crate::train::host::masks::MIX;

/// What one use of dropout drops.
#[derive(Clone, Copy, Debug)]
pub struct Site {
    /// The row of keys.
    pub number: u32,
    /// Elements whose hash lies below this are dropped.
    pub threshold: u32,
    /// What the others are multiplied by.
    pub scale: f32,
}

/// x, `[B, S, d]`, with elements dropped by the hash of their place and their row's key; `keys`, u32, `[sites, B]`.
pub fn dropped(x: Tensor<3>, keys: Tensor<2, Int>, site: Site) -> Tensor<3> {
    let Site { number, threshold, scale } = site;
    Tensor::from_dispatch(Dispatch::dropped(x.into_dispatch(), keys.into_dispatch(), number, threshold, scale))
}

#[backend_extension(Cube, Autodiff)]
pub trait Drops: Backend {
    fn dropped(x: FloatTensor<Self>, keys: IntTensor<Self>, site: u32, threshold: u32, scale: f32) -> FloatTensor<Self>;
}

impl Drops for CubeBackend {
    fn dropped(x: FloatTensor<Self>, keys: IntTensor<Self>, site: u32, threshold: u32, scale: f32) -> FloatTensor<Self> {
        let (shape, client) = (x.shape(), x.client.clone());
        let (elements, rows) = (shape.num_elements(), shape[0]);
        let (kept, (cubes, size)) = (beside(&x, shape), for_elements(&x, elements));
        let first = site as usize * rows;
        drop_kernel::launch(
            &client,
            cubes,
            size,
            x.into_linear_view(),
            keys.into_linear_view(),
            kept.clone().into_linear_view(),
            first,
            elements / rows,
            threshold,
            scale,
        );
        kept
    }
}

/// The same as `host::masks::hash`; products of u32 are taken modulo 2^32.
#[cube(launch)]
fn drop_kernel(
    x: LinearView<'_, f32>,
    keys: LinearView<'_, u32>,
    mut kept: LinearViewMut<'_, f32>,
    first: usize,
    each: usize,
    threshold: u32,
    scale: f32,
) {
    if !kept.is_in_bounds(ABSOLUTE_POS) {
        terminate!();
    }
    let mix = comptime!(MIX as u32);
    let index = u32::cast_from(ABSOLUTE_POS % each);
    let key = keys.read(first + ABSOLUTE_POS / each);
    let mut hash = ((index ^ (index >> 16)) ^ key) * mix;
    hash = (hash ^ (hash >> 16)) * mix;
    hash = (hash ^ (hash >> 16)) * mix;
    hash = hash ^ (hash >> 16);
    kept.write(ABSOLUTE_POS, select(hash < threshold, 0.0, x.read(ABSOLUTE_POS) * scale));
}

/// The gradient is dropped like its input.
impl<B: Drops, C: CheckpointStrategy> Drops for Autodiff<B, C> {
    fn dropped(x: FloatTensor<Self>, keys: IntTensor<Self>, site: u32, threshold: u32, scale: f32) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct Drop;

        impl<B: Drops> Backward<B, 1> for Drop {
            type State = (IntTensor<B>, u32, u32, f32);

            fn backward(self, ops: Ops<Self::State, 1>, gradients: &mut Gradients, _: &mut Checkpointer) {
                let (keys, site, threshold, scale) = ops.state;
                unary::<B, _>(ops.parents, ops.node, gradients, |gradient| B::dropped(gradient, keys, site, threshold, scale));
            }
        }

        match Drop.prepare::<C>([x.node()]).compute_bound().stateful() {
            OpsKind::Tracked(tracked) => {
                let state = (keys.clone(), site, threshold, scale);
                tracked.finish(state, B::dropped(x.into_primitive(), keys, site, threshold, scale))
            }
            OpsKind::UnTracked(untracked) => untracked.finish(B::dropped(x.into_primitive(), keys, site, threshold, scale)),
        }
    }
}
