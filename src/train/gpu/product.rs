//! Products of matrices on a GPU, by kernels that are named here.
//!
//! burn's own product takes tensor cores where there are any, and these round both sides of an f32 product to TF32, 10 bits of
//! mantissa instead of 23: always where burn does not tune itself, and where it does, whenever that was faster when it was
//! timed. For f32 a kernel is named instead that multiplies and adds in f32, the same one on every device and in every run.

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind, binary};
use burn::backend::cubecl::dtype_to_storage_type;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, backend_extension};
use burn::tensor::Tensor;
use burn_cubecl::CubeBackend;
use burn_cubecl::kernel::matmul::init_matmul_output;
use cubek::matmul::definition::{MatmulElems, MatmulGlobalElems};
use cubek::matmul::launch::launch_ref;
use cubek::matmul::multi_level::Strategy;
use cubek::std::InputBinding;

/// a b, for matrices or for stacks of as many matrices.
pub fn product<const D: usize>(a: Tensor<D>, b: Tensor<D>) -> Tensor<D> {
    Tensor::from_dispatch(Dispatch::exact_product(a.into_dispatch(), b.into_dispatch()))
}

#[backend_extension(Cube, Autodiff)]
pub trait ExactProduct: Backend {
    /// a b in the format of both.
    fn exact_product(a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self>;
}

impl ExactProduct for CubeBackend {
    fn exact_product(a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self> {
        let dtype = a.dtype;
        let out = init_matmul_output(&a, &b, dtype);
        let format = dtype_to_storage_type(dtype);
        let mut formats = MatmulElems::from_globals(&MatmulGlobalElems { lhs: format, rhs: format, out: format });
        let side = |x: FloatTensor<Self>| InputBinding::new(x.binding(), format);
        let strategy = Strategy::SimpleUnit(Default::default()).into();
        let client = out.client.clone();
        launch_ref(&strategy, &client, side(a), side(b), out.clone().binding(), &mut formats)
            .unwrap_or_else(|error| panic!("a product in f32: {error:?}"));
        out
    }
}

/// Of C = A B: dA = dC B^T and dB = A^T dC.
impl<B: ExactProduct, C: CheckpointStrategy> ExactProduct for Autodiff<B, C> {
    fn exact_product(a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct Product;

        impl<B: ExactProduct> Backward<B, 2> for Product {
            /// The sides that the other's gradient needs.
            type State = (Option<NodeId>, Option<NodeId>);

            fn backward(self, ops: Ops<Self::State, 2>, gradients: &mut Gradients, checkpointer: &mut Checkpointer) {
                let (a, b) = ops.state;
                let mut side = |node: Option<NodeId>| node.map(|node| checkpointer.retrieve_node_output(node));
                let (a, b): (Option<FloatTensor<B>>, _) = (side(a), side(b));
                let kept = "a side is kept where the other has a gradient";
                binary::<B, _, _>(
                    ops.parents,
                    ops.node,
                    gradients,
                    |gradient| B::exact_product(gradient, B::float_transpose(b.expect(kept))),
                    |gradient| B::exact_product(B::float_transpose(a.expect(kept)), gradient),
                );
            }
        }

        let (tracks_a, tracks_b) = (a.is_tracked(), b.is_tracked());
        match Product.prepare::<C>([a.node(), b.node()]).compute_bound().stateful() {
            OpsKind::Tracked(mut tracked) => {
                let kept = (tracks_b.then(|| tracked.checkpoint(&a)), tracks_a.then(|| tracked.checkpoint(&b)));
                tracked.finish(kept, B::exact_product(a.into_primitive(), b.into_primitive()))
            }
            OpsKind::UnTracked(untracked) => untracked.finish(B::exact_product(a.into_primitive(), b.into_primitive())),
        }
    }
}
