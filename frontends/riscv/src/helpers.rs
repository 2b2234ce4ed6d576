//! All helpers, in an order that is the same in every run of one build: generated code
//! names them by their places here, also where it is kept between runs.

use crate::hart::Hart;
use crate::{fp, intrinsics, system};
use isoform_core::Helper;

/// A list of the helpers of some modules.
macro_rules! list {
    ($( $module:ident: $($name:ident)*; )*) => {
        &[ $($( &$module::$name, )*)* ]
    };
}

/// The list.
pub(crate) static ALL: &[&Helper<Hart>] = list! {
    intrinsics: CLMUL CLMULH CLMULR CHECK_TARGET AMOCAS_Q PAUSE;
    system:
        CSR CSR_QUIET CSR_DISABLE MRET SRET ECALL EBREAK WFI WRS_NTO WRS_STO FENCE_I SFENCE_VMA
        SINVAL_VMA SFENCE_W_INVAL SFENCE_INVAL_IR CBO_INVAL CBO_CLEAN CBO_FLUSH CBO_ZERO;
    fp:
        FADD_S FSUB_S FMUL_S FDIV_S FMIN_S FMAX_S FSQRT_S FMADD_S FMSUB_S FNMSUB_S FNMADD_S
        FSGNJ_S FSGNJN_S FSGNJX_S FEQ_S FLT_S FLE_S FCVT_W_S FCVT_WU_S FCVT_L_S FCVT_LU_S
        FCVT_S_W FCVT_S_WU FCVT_S_L FCVT_S_LU FCLASS_S FADD_D FSUB_D FMUL_D FDIV_D FMIN_D
        FMAX_D FSQRT_D FMADD_D FMSUB_D FNMSUB_D FNMADD_D FSGNJ_D FSGNJN_D FSGNJX_D FEQ_D
        FLT_D FLE_D FCVT_W_D FCVT_WU_D FCVT_L_D FCVT_LU_D FCVT_D_W FCVT_D_WU FCVT_D_L
        FCVT_D_LU FCLASS_D FADD_H FSUB_H FMUL_H FDIV_H FMIN_H FMAX_H FSQRT_H FMADD_H FMSUB_H
        FNMSUB_H FNMADD_H FSGNJ_H FSGNJN_H FSGNJX_H FEQ_H FLT_H FLE_H FCVT_W_H FCVT_WU_H
        FCVT_L_H FCVT_LU_H FCVT_H_W FCVT_H_WU FCVT_H_L FCVT_H_LU FCLASS_H FCVT_S_D FCVT_S_H
        FCVT_D_S FCVT_D_H FCVT_H_S FCVT_H_D;
};

#[cfg(test)]
mod tests {
    use super::ALL;

    /// (That none is missing is a matter of tests/effects.)
    #[test]
    fn each_is_listed_once() {
        let mut names: Vec<_> = ALL.iter().map(|h| h.name).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
