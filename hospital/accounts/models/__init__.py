from hospital.accounts.models.emergency import Emergency
from hospital.accounts.models.factor_seal import FactorSeal
from hospital.accounts.models.policy_choice import PolicyChoice
from hospital.accounts.models.staff import Staff, UsedPassword, staff_of

__all__ = ["Emergency", "FactorSeal", "PolicyChoice", "Staff", "UsedPassword", "staff_of"]
